"""What the GPU session's figures at paper size are made of."""

import sys
import time
from pathlib import Path

import pytest
import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).parent))  # the session runs its parts as a package of this folder

from gpu.paper import Ours, Peer, describe, evaluations, measure_pair, timed
from gpu.paper_stages import LABELS, paper_config, random_tissue, stage_figures

from lldm_aug.models.generator import Generator

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def generator() -> Generator:
    """At the sizes of a rehearsal."""
    return Generator.untrained(describe(paper_config(rehearse=True)))


@pytest.mark.parametrize("sampler", [Ours, Peer])
def test_a_pair_costs_one_evaluation_a_step(generator: Generator, sampler: type) -> None:
    """Whoever samples it, and the image is as large as the grid."""
    label = random_tissue(generator.description.shape, 0)["label"][None]
    found = measure_pair(sampler(generator), generator, label, "fp32", 2, time.monotonic())
    assert found["evaluations"] == {"denoiser": 2, "control": 2}
    assert found["shape"] == (1, 1, *generator.description.shape)
    assert found["finite"]
    assert len(found["all_seconds"]) == 1


def test_the_peer_has_the_weights_of_the_generator(generator: Generator) -> None:
    """Themselves, not copies, but for its own embedding of the mask; the generator keeps its own."""
    own = dict(generator.network.control.net.named_parameters())
    theirs = dict(Peer(generator).control.named_parameters())
    assert all(theirs[name] is parameter for name, parameter in own.items())
    assert all(name.startswith("controlnet_cond_embedding") for name in theirs.keys() - own.keys())
    assert isinstance(generator.network.control.net.controlnet_cond_embedding, nn.Identity)


def test_figures_of_steps() -> None:
    """Shares are those of all steps together."""
    found = stage_figures([(0, 1.0, 0.5), (0, 3.0, 0.5)], 4e12, 10.0)
    assert found["seconds_a_step"] == 2
    assert found["steps_a_second"] == 0.5
    assert found["share_of_peak"] == pytest.approx(0.2)
    assert found["share_waiting_for_data"] == pytest.approx(0.25)


def test_calls_are_timed_until_the_time_is_over() -> None:
    """Once at least, and no more often than asked for."""
    calls: list[None] = []
    assert len(timed(lambda: calls.append(None), CPU, 0.0)) == len(calls) == 1
    assert len(timed(lambda: calls.append(None), CPU, time.monotonic() + 60, 4)) == 4


def test_evaluations_are_counted_within_alone() -> None:
    """Of each network by its name."""
    one, other = nn.Identity(), nn.Identity()
    with evaluations({"one": one, "other": other}) as counts:
        one(1)
        one(1)
    one(1)
    assert counts == {"one": 2, "other": 0}


def test_cases_show_all_structures() -> None:
    """And each is another."""
    cases = [random_tissue((32, 32, 32), index) for index in range(2)]
    assert all({*case["label"].unique().tolist()} <= {*LABELS.values()} for case in cases)
    assert not torch.equal(cases[0]["label"], cases[1]["label"])
    assert {0, 1, 4} <= {*cases[0]["label"].unique().tolist()}


def test_paper_sizes_are_those_of_the_preset() -> None:
    """A rehearsal changes them, the session does not."""
    description = describe(paper_config(rehearse=False))
    assert description.shape == (256, 256, 128)
    assert description.latent_shape == (16, 64, 64, 32)
