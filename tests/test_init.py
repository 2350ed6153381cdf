"""Fine-tuning: weights carried to other channels, structures and voxels keep their meaning, and history is kept."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml
from click.testing import CliRunner
from pools import GRID, blob_case, write_dataset
from tiny import tiny_config, tiny_dataset, tiny_generator

from lldm_aug.cli import main
from lldm_aug.config.schema import AutoencoderSettings, Config, DenoiserSettings, ObjectiveSettings, SamplingSettings
from lldm_aug.data.raw import RawDataset
from lldm_aug.errors import CheckpointError, ConfigError, IncompatibleResume
from lldm_aug.geometry import Grid
from lldm_aug.io.nifti import write_nifti
from lldm_aug.models.adapt import Layout, adapt_autoencoder, adapt_control, adapt_shortcut, grow_outputs, regroup
from lldm_aug.models.autoencoder import Autoencoder
from lldm_aug.models.denoiser import MaskControl, build_denoiser
from lldm_aug.models.generator import Generator
from lldm_aug.stages.run import train
from lldm_aug.stages.table import GENERATOR_STAGES
from lldm_aug.training.initial import Initial, carry_over
from lldm_aug.volume import Volume

SIZES = AutoencoderSettings(latent_channels=4, channels=(16, 16), head_channels=16)
CONTROL = DenoiserSettings(channels=(16, 16), attention=(False, False), mask_channels=8, head_channels=16)
Z = 4
"""The dimension of (B, C, X, Y, Z) along which voxels are split or merged."""


def autoencoder(layout: Layout, compression: tuple[int, int, int]) -> Autoencoder:
    torch.manual_seed(len(layout.structures))
    return Autoencoder(len(layout.channels), len(layout.structures), compression, SIZES).eval()


def layout(channels: str = "a", structures: str = "lt", factors: tuple[int, int, int] = (2, 2, 2)) -> Layout:
    return Layout(tuple(channels), tuple(structures), factors)


def carry(source: Autoencoder, target: Autoencoder, old: Layout, new: Layout) -> list[str]:
    """Moves all weights; returns the names of those that start anew."""
    weights = source.state_dict()
    cells = (
        replace(side, factors=module.shortcut.compression)
        for side, module in ((old, source), (new, target))
        if module.shortcut is not None
    )
    return carry_over("autoencoder", target, adapt_autoencoder(weights, old, new) | adapt_shortcut(weights, *cells))


def thin(x: torch.Tensor) -> torch.Tensor:
    return x.repeat_interleave(2, Z)


@torch.no_grad()
def test_thicker_slices_give_the_same_latent_and_the_mean_of_the_image() -> None:
    old, new = layout(factors=(2, 2, 2)), layout(factors=(2, 2, 1))
    source, target = autoencoder(old, (4, 4, 4)), autoencoder(new, (4, 4, 2))
    assert (source.stem, target.stem) == (old.factors, new.factors)
    assert carry(source, target, old, new) == []
    image, condition = torch.randn(1, 1, 16, 16, 8), torch.randn(1, 2, 16, 16, 8)
    latent = source.encode(thin(image))[0]
    torch.testing.assert_close(target.encode(image)[0], latent, atol=1e-4, rtol=1e-4)
    for before, after in zip(source.decode(latent, thin(condition)), target.decode(latent, condition), strict=True):
        torch.testing.assert_close(after, before.unflatten(-1, (8, 2)).mean(-1), atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_thinner_slices_give_the_same_latent_and_the_same_image_twice() -> None:
    old, new = layout(factors=(2, 2, 1)), layout(factors=(2, 2, 2))
    source, target = autoencoder(old, (4, 4, 2)), autoencoder(new, (4, 4, 4))
    assert carry(source, target, old, new) == []
    image, condition = torch.randn(1, 1, 16, 16, 8), torch.randn(1, 2, 16, 16, 8)
    latent = source.encode(image)[0]
    torch.testing.assert_close(target.encode(thin(image))[0], latent, atol=1e-4, rtol=1e-4)
    shown, expected = target.decode(latent, thin(condition))[0], source.decode(latent, condition)[0]
    torch.testing.assert_close(shown, thin(expected), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(("old", "new"), [((4, 4, 4), (4, 4, 2)), ((4, 4, 2), (4, 2, 4)), ((2, 2, 2), (2, 2, 2))])
def test_a_constant_mask_is_embedded_alike(old: tuple[int, int, int], new: tuple[int, int, int]) -> None:
    source, target = (MaskControl(4, 2, factors, CONTROL) for factors in (old, new))
    adapted = adapt_control(source.state_dict(), layout(factors=old), layout(factors=new))
    assert carry_over("controlnet", target, adapted) == []
    condition = torch.tensor([1.0, -1.0]).view(1, 2, 1, 1, 1)
    before, after = (
        m.embed(condition.expand(1, 2, 4 * f[0], 4 * f[1], 4 * f[2])) for m, f in ((source, old), (target, new))
    )
    torch.testing.assert_close(after, before, atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_structures_go_by_name_and_a_new_one_is_first_unknown() -> None:
    old, new = layout(structures="lpt"), layout(structures="tsl")
    source, target = autoencoder(old, (4, 4, 4)), autoencoder(new, (4, 4, 4))
    carry(source, target, old, new)
    latent, condition = torch.randn(1, 4, 4, 4, 4), torch.randn(1, 3, 16, 16, 16)
    # The old network with p unknown (0) sees what the new one does, whatever is said of s.
    known = torch.stack([condition[:, 2], torch.zeros_like(condition[:, 0]), condition[:, 0]], dim=1)
    torch.testing.assert_close(target.decode(latent, condition), source.decode(latent, known))


@torch.no_grad()
@pytest.mark.parametrize(("old", "new"), [("ab", "ba"), ("a", "xyz"), ("ab", "xy"), ("abc", "x")])
def test_channels_go_by_name_or_share_what_is_known(old: str, new: str) -> None:
    first, second = layout(channels=old), layout(channels=new)
    source, target = autoencoder(first, (4, 4, 4)), autoencoder(second, (4, 4, 4))
    assert carry(source, target, first, second) == []
    one, condition = torch.randn(1, 1, 16, 16, 16), torch.zeros(1, 2, 16, 16, 16)
    images = [one * (1 + "ab".find(name)) if {*old} == {*new} else one for name in old + new]
    before, after = torch.cat(images[: len(old)], 1), torch.cat(images[len(old) :], 1)
    torch.testing.assert_close(target.encode(after)[0], source.encode(before)[0], atol=1e-4, rtol=1e-4)
    latent = torch.randn(1, 4, 4, 4, 4)
    shown, expected = target.decode(latent, condition)[0], source.decode(latent, condition)[0]
    torch.testing.assert_close(shown.mean(1), expected.mean(1), atol=1e-4, rtol=1e-4)
    if {*old} == {*new}:
        assert torch.equal(shown[:, 0], expected[:, old.index(new[0])])


def test_channels_of_one_name_go_by_place() -> None:
    twins = Layout(("MR", "MR"), ("l", "t"), (2, 2, 2))
    source, target = autoencoder(twins, (4, 4, 4)), autoencoder(twins, (4, 4, 4))
    carry(source, target, twins, twins)
    torch.testing.assert_close(target.state_dict(), source.state_dict())


def test_regrouping_there_and_back_is_the_identity_when_nothing_is_merged() -> None:
    weight = torch.randn(5, 3 * 2, 3, 3, 3)
    there = regroup(weight, 1, (1, 2, 1), (4, 2, 2), "read")
    assert there.shape == (5, 3 * 16, 3, 3, 3)
    torch.testing.assert_close(regroup(there, 1, (4, 2, 2), (1, 2, 1), "read"), weight)


def test_further_outputs_start_at_zero() -> None:
    """A denoiser with a skip connection says at first what the one without said, and nothing of its detail."""
    sizes = tiny_config().denoiser
    known, grown = (build_denoiser(4, sizes, ObjectiveSettings(kind=kind)) for kind in ("clean", "skip"))
    torch.nn.init.normal_(known.out[2].conv.weight)
    carry_over("denoiser", grown, grow_outputs(known.state_dict(), grown.state_dict()))
    x, times = torch.randn(1, 4, 8, 8, 4), torch.tensor([400.0])
    own, strength = grown(x, times).chunk(2, dim=1)
    torch.testing.assert_close(own, known(x, times))
    assert own.abs().max() > 0 == strength.abs().max()


def test_what_does_not_fit_starts_anew_and_is_named(caplog: pytest.LogCaptureFixture) -> None:
    module = torch.nn.Linear(2, 3)
    before = module.weight.clone()
    assert carry_over("part", module, {"bias": torch.ones(3), "weight": torch.ones(9, 9)}) == ["weight"]
    assert torch.equal(module.weight, before)
    assert torch.equal(module.bias, torch.ones(3))
    assert "part: 1 of 2 weights start anew" in caplog.text


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The generator to start from, of blobs at 2 x 2 x 3 mm."""
    return tiny_generator(tiny_dataset(tmp_path_factory.mktemp("data")), tmp_path_factory.mktemp("runs") / "old")


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> RawDataset:
    """Other cases: thicker slices, other labels, two channels."""
    folder = write_dataset(tmp_path_factory.mktemp("other") / "Dataset997_Other", cases=5, seed=7)
    for index in range(5):
        image, label = blob_case(7, index)
        grid = Grid.regular(GRID.shape, (2.0, 2.0, 6.0))
        for channel in range(2):
            write_nifti(folder / "imagesTr" / f"case_{index:02d}_000{channel}.nii.gz", Volume(image, grid))
        write_nifti(folder / "labelsTr" / f"case_{index:02d}.nii.gz", Volume(label, grid))
    facts = {
        "channel_names": {"0": "T1", "1": "T2"},
        "labels": {"background": 0, "spleen": 1, "liver": 2},
        "numTraining": 5,
        "file_ending": ".nii.gz",
    }
    (folder / "dataset.json").write_text(json.dumps(facts))
    return RawDataset(folder)


def unsized() -> Config:
    """The tiny settings without network sizes, on a grid of their own."""
    tree = tiny_config().model_dump(mode="json")
    sizes = {"autoencoder": {"compression": [4, 4, 2]}, "grid": {"shape": [16, 16, 8]}}
    return Config.model_validate({"train": tree["train"], "sampling": tree["sampling"], **sizes})


@pytest.fixture(scope="module")
def tuned(run: Path, other: RawDataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that started from the old generator."""
    out = tmp_path_factory.mktemp("runs") / "new"
    for name in GENERATOR_STAGES:
        train(name, unsized(), other, 0, out, initial=Initial.load(str(run)))
    return out


def test_the_new_generator_names_all_that_the_old_one_saw(run: Path, tuned: Path) -> None:
    old, new = (Generator.load(folder / "generator").description for folder in (run, tuned))
    assert new.stages[:3] == old.stages
    assert [s.dataset for s in new.stages] == ["Dataset998_Blobs"] * 3 + ["Dataset997_Other"] * 3
    assert tuple(s.stage for s in new.stages) == GENERATOR_STAGES * 2
    for name in GENERATOR_STAGES:
        record = json.loads((tuned / name / "run.json").read_text())
        assert record["binding"]["initial"] == Generator.load(run / "generator").hash
        assert [s["dataset"] for s in record["initial_stages"]] == ["Dataset998_Blobs"] * 3


def test_sizes_are_the_old_ones_and_the_rest_is_the_new_datas(run: Path, tuned: Path) -> None:
    old, new = (Generator.load(folder / "generator").description for folder in (run, tuned))
    assert new.autoencoder == old.autoencoder
    assert new.denoiser == old.denoiser
    assert new.num_channels == 2
    assert new.labels.names == ("spleen", "liver")
    assert new.shape == (16, 16, 8)
    assert new.latent_mean != old.latent_mean


def test_other_sizes_than_the_generators_are_refused(run: Path) -> None:
    config = Config.model_validate({"denoiser": {"channels": (32, 32), "attention": (False, False)}})
    with pytest.raises(ConfigError, match=r"denoiser.channels is \(32, 32\), but \(16, 16\)"):
        Initial.load(str(run)).sized(config)
    assert Initial.load(str(run)).sized(tiny_config()).denoiser == tiny_config().denoiser


def test_a_solver_that_cannot_sample_the_old_objective_is_refused(run: Path) -> None:
    initial = Initial.load(str(run))
    learnt = initial.generator.description.model_copy(update={"objective": ObjectiveSettings(kind="ddpm")})
    noise = Initial(replace(initial.generator, description=learnt))
    assert noise.sized(Config()).objective.kind == "ddpm"
    with pytest.raises(ConfigError, match="euler does not fit"):
        noise.sized(Config(sampling=SamplingSettings(solver="euler")))


def test_sampling_is_the_old_one_but_for_what_is_set(run: Path) -> None:
    initial = Initial.load(str(run))
    old = SamplingSettings(solver="dpmpp", steps=6, guidance=1.4)
    strong = Initial(
        replace(initial.generator, description=initial.generator.description.model_copy(update={"sampling": old}))
    )
    assert strong.sized(Config()).sampling == old
    later = strong.sized(Config(sampling=SamplingSettings(steps=20)))
    assert later.sampling == SamplingSettings(solver="dpmpp", steps=20, guidance=1.4)
    assert strong.sized(later).sampling == later.sampling


def test_a_skip_connection_may_be_added(run: Path) -> None:
    initial = Initial.load(str(run))
    learnt = initial.generator.description.model_copy(update={"objective": ObjectiveSettings(kind="clean", shift=2)})
    clean = Initial(replace(initial.generator, description=learnt))
    assert clean.sized(Config()).objective == learnt.objective
    wanted = ObjectiveSettings(kind="skip", detail=0.5)
    assert clean.sized(Config(objective=wanted)).objective == ObjectiveSettings(kind="skip", detail=0.5, shift=2)
    later = clean.sized(Config(objective=ObjectiveSettings(shift=3, spread=2))).objective
    assert later == ObjectiveSettings(kind="clean", shift=3, spread=2)
    with pytest.raises(ConfigError, match="kind is flow, but clean"):
        clean.sized(Config(objective=ObjectiveSettings(kind="flow")))


def test_a_skip_connection_may_pass_other_detail(run: Path) -> None:
    initial = Initial.load(str(run))
    learnt = initial.generator.description.model_copy(update={"objective": ObjectiveSettings(kind="skip", detail=0.5)})
    skip = Initial(replace(initial.generator, description=learnt))
    assert skip.sized(Config()).objective.detail == 0.5
    assert skip.sized(Config(objective=ObjectiveSettings(detail=0.1))).objective.detail == 0.1
    with pytest.raises(ConfigError, match="kind is clean, but skip"):
        skip.sized(Config(objective=ObjectiveSettings(kind="clean")))


def test_all_stages_start_from_the_same(tuned: Path, run: Path, other: RawDataset) -> None:
    config = Initial.load(str(run)).sized(unsized())
    with pytest.raises(IncompatibleResume, match="initial"):
        train("diffusion", config, other, 0, tuned)


def test_stages_that_cannot_start_from_a_generator_say_so(run: Path, other: RawDataset, tmp_path: Path) -> None:
    for name in ("segmenter", "masks"):
        with pytest.raises(ConfigError, match="always starts anew"):
            train(name, unsized(), other, 0, tmp_path, initial=Initial.load(str(run)))


def test_a_first_step_starts_from_the_old_weights(run: Path, tmp_path: Path) -> None:
    """On the same data, without learning, the new generator is the old one."""
    dataset = tiny_dataset(tmp_path)
    config = tiny_config(steps=1, learning_rate=1e-12, weight_decay=0)
    for name in GENERATOR_STAGES:
        train(name, config, dataset, 0, tmp_path / "again", initial=Initial.load(str(run)))
    old, new = (Generator.load(folder / "generator") for folder in (run, tmp_path / "again"))
    torch.testing.assert_close(dict(new.autoencoder.named_parameters()), dict(old.autoencoder.named_parameters()))
    torch.testing.assert_close(dict(new.network.named_parameters()), dict(old.network.named_parameters()))


def test_the_embedded_generator_can_be_started_from() -> None:
    initial = Initial.load("pretrained")
    assert initial.sized(Config()).denoiser == initial.generator.description.denoiser


def test_no_generator_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError):
        Initial.load(str(tmp_path))


def test_command_line(run: Path, other: RawDataset, tmp_path: Path) -> None:
    config = tmp_path / "c.yaml"
    config.write_text("grid: {shape: [16, 16, 8]}\nautoencoder: {compression: [4, 4, 2]}\n")
    where = ["--data", str(other.folder), "--fold", "0", "--out", str(tmp_path / "x"), "--config", str(config)]
    done = CliRunner().invoke(main, ["train", "autoencoder", *where, "--init", str(run), "--dry-run"])
    assert done.exit_code == 0, done.output
    shown = yaml.safe_load(done.output)
    assert shown["denoiser"] == tiny_config().denoiser.model_dump(mode="json")
    assert shown["grid"]["shape"] == [16, 16, 8]
