"""Every preset loads, its networks can be built, and the commands in its header are commands."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest
import torch

from lldm_aug.cli import CONTEXT, main
from lldm_aug.config.load import load_config
from lldm_aug.config.schema import Config
from lldm_aug.data.conform import compression_for
from lldm_aug.labels import HBP
from lldm_aug.models.autoencoder import Autoencoder
from lldm_aug.models.denoiser import ControlledDenoiser, MaskControl, build_denoiser
from lldm_aug.models.layers import Factors

CONFIGS = Path(__file__).resolve().parents[1] / "configs"
PRESETS = sorted(path.stem for path in CONFIGS.glob("*.yaml"))
COMMAND = re.compile(r"^#   (\S.*)$", re.MULTILINE)
CHAIN = [
    *("train segmenter", "train autoencoder", "train diffusion", "train controlnet", "generate"),
    *("nnUNetv2_plan_and_preprocess", "nnunet prepare", "nnUNetv2_train"),
]


def header(preset: str) -> list[list[str]]:
    """All commands in a preset's header: those of nnU-Net, and the words after ``lldm-aug`` of ours."""
    lines = [shlex.split(line) for line in COMMAND.findall((CONFIGS / f"{preset}.yaml").read_text(encoding="utf-8"))]
    start = {"accelerate": "lldm_aug", "lldm-aug": "lldm-aug"}
    return [words[words.index(start[words[0]]) + 1 :] if words[0] in start else words for words in lines]


def commands(preset: str) -> list[list[str]]:
    """Our commands in a preset's header, as words after ``lldm-aug``."""
    return [words for words in header(preset) if not words[0].startswith("nnUNetv2_")]


def networks(config: Config, compression: Factors) -> tuple[Autoencoder, ControlledDenoiser]:
    """The networks of a preset for four structures, without memory."""
    with torch.device("meta"):
        latent = config.autoencoder.resolved(compression, 1).latents
        control = MaskControl(latent, len(HBP.names), compression, config.denoiser)
        autoencoder = Autoencoder(1, len(HBP.names), compression, config.autoencoder)
        return autoencoder, ControlledDenoiser(build_denoiser(latent, config.denoiser, config.objective), control)


def millions(module: torch.nn.Module) -> float:
    return sum(p.numel() for p in module.parameters()) / 1e6


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("spacing", [(1.5, 1.5, 3.0), (3.3, 3.3, 3.3)])
def test_networks_run_on_the_presets_grid(preset: str, spacing: tuple[float, float, float]) -> None:
    config = load_config(preset)
    compression = config.autoencoder.compression or compression_for(spacing)
    autoencoder, denoiser = networks(config, compression)
    sides = [n // f for n, f in zip(config.grid.shape, compression, strict=True)]
    latent = torch.empty(1, config.autoencoder.resolved(compression, 1).latents, *sides, device="meta")
    condition = torch.empty(1, len(HBP.names), *config.grid.shape, device="meta")
    with torch.no_grad():
        told = denoiser(latent, torch.empty(1, device="meta"), condition)
        assert told.shape == (1, latent.shape[1] * config.objective.outputs, *sides)
        assert autoencoder.decode(latent, condition)[0].shape[2:] == config.grid.shape


def test_the_papers_networks_are_of_its_scale() -> None:
    autoencoder, network = networks(load_config("paper"), (4, 4, 2))
    assert 15 < millions(autoencoder) < 30
    assert 150 < millions(network.denoiser) < 220
    assert 60 < millions(network.control) < 90


@pytest.mark.parametrize("preset", PRESETS)
def test_commands_in_the_header_parse(preset: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for words in commands(preset):
        for word in words:
            if re.fullmatch(r"[A-Za-z][\w./]*", word):
                (tmp_path / word).mkdir(parents=True, exist_ok=True)
        command: click.Command = main
        while isinstance(command, click.Group):
            name, *words = words
            found = command.get_command(None, name)
            assert found is not None, name
            command = found
        given = command.make_context(command.name, words, parent=click.Context(main, **CONTEXT)).params
        assert given.get("config") in (None, preset)


@pytest.mark.parametrize("preset", ["tiny", "small", "paper", "finetune"])
def test_the_header_holds_the_whole_chain(preset: str) -> None:
    lines = [" ".join(words) for words in header(preset)]
    places = [next(i for i, line in enumerate(lines) if line.startswith(start)) for start in CHAIN]
    assert places == sorted(places)


@pytest.mark.parametrize("preset", ["tiny", "small", "paper", "finetune"])
def test_stages_work_in_one_folder_on_one_fold(preset: str) -> None:
    trained = [words for words in commands(preset) if words[0] == "train"]
    for option in ("--out", "--data", "--fold"):
        assert len({words[words.index(option) + 1] for words in trained}) == 1


def test_fine_tuning_leaves_sizes_to_the_initial_generator() -> None:
    config = load_config("finetune")
    assert not config.autoencoder.model_fields_set
    assert not config.denoiser.model_fields_set
