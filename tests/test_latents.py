"""Latents that are kept: what an interruption leaves is used, and what belongs to others is not."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from lldm_aug.errors import IncompatibleResume
from lldm_aug.training.latents import LatentCache, Moments, cache_moments

NAMES = ("a", "b", "c", "d")
OURS = {"autoencoder": "1"}


class Encoder:
    """Counts what it is asked for, and fails at a name."""

    def __init__(self, fails_at: str = "") -> None:
        self.asked: list[str] = []
        self.fails_at = fails_at

    def __call__(self, name: str) -> Moments:
        if name == self.fails_at:
            raise KeyboardInterrupt
        self.asked.append(name)
        generator = torch.Generator().manual_seed(ord(name))
        return torch.randn(1, 2, 3, 3, 3, generator=generator), torch.rand(1, 2, 3, 3, 3, generator=generator)


def cached(folder: Path, encoder: Encoder, identity: dict[str, str] = OURS) -> LatentCache:
    return cache_moments(NAMES, encoder, identity, folder, torch.float16)


def test_an_interrupted_encoding_goes_on(tmp_path: Path) -> None:
    whole = cached(tmp_path / "whole", Encoder())
    with pytest.raises(KeyboardInterrupt):
        cached(tmp_path / "x", Encoder(fails_at="c"))
    rest = Encoder()
    again = cached(tmp_path / "x", rest)
    assert rest.asked == ["c", "d"]
    assert (again.mean, again.std) == (whole.mean, whole.std)


def test_a_finished_one_is_found(tmp_path: Path) -> None:
    first, second = cached(tmp_path / "x", Encoder()), Encoder()
    assert cached(tmp_path / "x", second) == first
    assert second.asked == []


def test_latents_of_another_autoencoder_are_refused_finished_or_not(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        cached(tmp_path / "begun", Encoder(fails_at="b"))
    cached(tmp_path / "finished", Encoder())
    for name in ("begun", "finished"):
        with pytest.raises(IncompatibleResume):
            cached(tmp_path / name, Encoder(), {"autoencoder": "2"})


def test_files_that_nothing_vouches_for_are_made_anew(tmp_path: Path) -> None:
    cached(tmp_path / "x", Encoder(), {"autoencoder": "2"})
    (tmp_path / "x" / "latents.json").unlink()
    encoder = Encoder()
    cached(tmp_path / "x", encoder)
    assert encoder.asked == list(NAMES)


def test_draws_have_mean_nought_and_deviation_one(tmp_path: Path) -> None:
    cache = cached(tmp_path / "x", Encoder())
    draws = [cache.draw(name, torch.Generator().manual_seed(n)) for n in range(200) for name in NAMES]
    values = torch.stack(draws)
    assert values.mean(dim=(0, 2, 3, 4)).abs().max() < 0.05
    assert (values.std(dim=(0, 2, 3, 4)) - 1).abs().max() < 0.05
