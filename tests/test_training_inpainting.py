"""Training to inpaint: which regions are drawn, what the network is told of them, and what it must not be told."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.ndimage import label as components
from tiny import STAGE, copy_without, tiny_config, tiny_generator, window_config
from volumes import shared_data

from lldm_aug.anatomy.declaration import ANATOMY_FILE
from lldm_aug.anatomy.measures import grown
from lldm_aug.config.schema import Config, SamplingSettings
from lldm_aug.data.raw import RawDataset
from lldm_aug.inpainting.sampling import inpainting_sampling
from lldm_aug.io.weights import load_tensors, save_tensors
from lldm_aug.models.description import Description
from lldm_aug.models.generator import Generator
from lldm_aug.stages.run import resolved, train
from lldm_aug.stages.table import GENERATOR_STAGES
from lldm_aug.synthesis.generation_plan import choose_sampling
from lldm_aug.training.controlnet import ControlNetConfig, ControlNetStage
from lldm_aug.training.export import read_export
from lldm_aug.training.initial import Initial
from lldm_aug.training.inpainting import KNOWN_WEIGHT, Surroundings, draw_region
from lldm_aug.training.latents import cache_latents
from lldm_aug.training.order import Row
from lldm_aug.training.prepared_cases import CaseSet, prepare_cases
from lldm_aug.training.preview import load_autoencoder
from lldm_aug.training.window_crops import CROPPED, crop_sides

SPACING = (1.5, 1.5, 10.0)
CPU = torch.device("cpu")


def inpainting_config(**stage: object) -> Config:
    """Windows of blobs, and a ControlNet that is told what is around a region."""
    tree = window_config(**stage).model_dump(mode="json", exclude_unset=True)
    tree["train"]["controlnet"]["inpainting"] = True
    return Config.model_validate(tree)


def two_lesions() -> np.ndarray:
    mask = np.zeros((48, 40, 8), np.int16)
    mask[5:40, 5:35, 1:7] = 1
    mask[8:12, 8:12, 2:4] = mask[25:33, 20:28, 3:6] = 2
    return mask


def regions(count: int, mask: np.ndarray, lesions: tuple[int, ...] = (2,)) -> list[np.ndarray]:
    return [draw_region(np.random.default_rng(seed), mask, lesions, SPACING) for seed in range(count)]


def test_regions_are_everything_or_lesions_or_any_part() -> None:
    mask = two_lesions()
    drawn = regions(400, mask)
    blobs = [components(mask == 2)[0] == number for number in (1, 2)]
    whole = np.array([region.all() for region in drawn])
    nearest = np.array([[region[blob].all() for blob in blobs] for region in drawn])
    close = grown(mask == 2, SPACING, 8.0)
    around = np.array([not region[~close].any() for region in drawn]) & nearest.any(1)
    assert whole.mean() == pytest.approx(0.3, abs=0.07)
    assert around.mean() == pytest.approx(0.45, abs=0.08)
    assert {tuple(row) for row in nearest[around].tolist()} == {(True, True), (True, False), (False, True)}
    parts = np.array([region.mean() for region in drawn])[~whole & ~around]
    assert 0 < parts.min() < 0.01
    assert 0.3 < parts.max() < 1


def test_regions_of_a_mask_without_lesions_are_everything_or_any_part() -> None:
    for mask in (np.where(two_lesions() == 2, 1, two_lesions()), np.zeros((16, 16, 8), np.int16)):
        drawn = regions(200, mask)
        assert all(region.any() for region in drawn)
        assert np.mean([region.all() for region in drawn]) == pytest.approx(0.3, abs=0.1)
    assert all(region.any() for region in regions(50, two_lesions(), lesions=()))


def test_a_margin_is_measured_in_millimetres() -> None:
    mask = np.zeros((20, 20, 5), dtype=bool)
    mask[10, 10, 2] = True
    assert grown(mask, SPACING, 0.0).sum() == 1
    assert grown(mask, SPACING, 1.5).sum() == 5
    near = grown(mask, SPACING, 9.9)
    assert not near[:, :, [0, 1, 3, 4]].any()
    assert near[4, 10, 2]
    assert not near[3, 10, 2]


@pytest.fixture(scope="module")
def run(dataset: RawDataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of windows that learnt to inpaint."""
    return tiny_generator(dataset, tmp_path_factory.mktemp("runs") / "x", inpainting_config(steps=2))


class Listener(torch.nn.Module):
    """A network that remembers what it was given."""

    def forward(self, noisy: torch.Tensor, times: torch.Tensor, told: torch.Tensor) -> torch.Tensor:
        self.noisy, self.told = noisy, told
        return torch.cat([noisy, noisy], dim=1)


def given(stage: ControlNetStage, rows: list[Row]) -> tuple[torch.Tensor, torch.Tensor]:
    """The noisy latents and the condition that a network gets."""
    listener = Listener()
    stage.loss(listener, rows, CPU)
    return listener.noisy, listener.told


def stage_of(run: Path, cases: CaseSet, latents: Path, **controlnet: object) -> ControlNetStage:
    """The last stage of a run, with these cases and their latents."""
    tree = inpainting_config().model_dump(mode="json")
    tree["train"]["controlnet"] |= controlnet
    config = resolved(Config.model_validate(tree), cases)
    first, second = (read_export(run / name / "export", "controlnet") for name in GENERATOR_STAGES[:2])
    cache = cache_latents(cases, first, load_autoencoder(cases, config.autoencoder, first), latents)
    return ControlNetStage(cases, ControlNetConfig.of(config, "controlnet"), first, second, cache)


def rows_with_a_part(cases: CaseSet, name: str, wanted: int) -> list[Row]:
    """Rows whose region is a part of their window, which has a known rest of cells."""
    found = []
    for step in range(200):
        row = Row(name, step, 0)
        boxes = cases.drawn([row], 0, "controlnet")
        labels = torch.stack([cases.load_label(name, box) for box in boxes])
        if not Surroundings.drawn(cases, [row], boxes, labels, 0, "controlnet").cells.all():
            found.append(row)
    return found[:wanted]


def test_nothing_of_what_a_region_held_is_told(run: Path, dataset: RawDataset, tmp_path: Path) -> None:
    folder = copy_without(run, tmp_path / "x", "generator")
    cases = prepare_cases(dataset, 0, inpainting_config(), folder / "cases")
    before = stage_of(run, cases, run / "latents")
    name = cases.case_ids[0]
    (row,) = rows_with_a_part(cases, name, 1)
    (box,) = cases.drawn([row], 0, "controlnet")
    assert box is not None
    labels = cases.load_label(name, box)[None]
    drawn = Surroundings.drawn(cases, [row], [box], labels, 0, "controlnet")
    noisy, told = given(before, [row])
    tensors = load_tensors(folder / "cases" / f"{name}.safetensors")
    tensors["image"][:, *box][:, drawn.region[0]] = 1.5  # the mark
    save_tensors(folder / "cases" / f"{name}.safetensors", tensors)
    marked = stage_of(run, cases, tmp_path / "latents")
    marked.latents = replace(marked.latents, mean=before.latents.mean, std=before.latents.std)
    noisy_marked, told_marked = given(marked, [row])
    assert torch.equal(told, told_marked)
    changed = (noisy != noisy_marked).any(1, keepdim=True)
    assert changed.any()
    assert not changed[~drawn.cells].any()
    # Whole latents do know of the mark in cells around the region: what is told is not taken from them.
    latents = (s.latents.draw(name, torch.Generator().manual_seed(0), box)[None] for s in (before, marked))
    spread = (next(latents) != next(latents)).any(1, keepdim=True)
    assert spread[~drawn.cells].any()


def test_a_withheld_mask_leaves_the_surroundings(run: Path, dataset: RawDataset) -> None:
    cases = prepare_cases(dataset, 0, inpainting_config(), run / "cases")
    batch = rows_with_a_part(cases, cases.case_ids[0], 2)
    _, told = given(stage_of(run, cases, run / "latents", drop_mask=0.0, drop_structure=0.0), batch)
    _, without = given(stage_of(run, cases, run / "latents", drop_mask=1.0), batch)
    assert told[:, :2].abs().min() == 1
    assert not without[:, :2].any()
    assert torch.equal(told[:, 2:], without[:, 2:])
    assert told.shape[1] == 2 + 1 + 1
    assert told[:, 2].any()


def test_the_region_counts_and_what_is_outside_of_the_case_does_not() -> None:
    region = torch.zeros(1, 8, 8, 4, dtype=torch.bool)
    region[:, :3, :3, :2] = True
    inside = torch.ones(1, 1, 8, 8, 4, dtype=torch.bool)
    inside[..., 2:] = False
    counted = Surroundings(torch.zeros(1, 1, 8, 8, 4), region | ~inside[:, 0], inside, (4, 4, 2)).counted
    assert counted.shape == (1, 1, 2, 2, 2)
    assert counted[0, 0, 0, 0, 0] == 1
    assert counted[0, 0, 1, 1, 0] == pytest.approx(KNOWN_WEIGHT)
    assert not counted[..., 1].any()


def test_a_generator_that_learnt_to_inpaint_says_so_and_inpaints(run: Path) -> None:
    generator = Generator.load(run / "generator")
    description = generator.description
    assert description.inpainting
    assert description.windows
    assert description.condition_channels == 4
    label = torch.zeros(1, *description.shape, dtype=torch.int16)
    region = torch.zeros(1, *description.shape, dtype=torch.bool)
    region[:, 4:8, 4:8, 4:8] = True
    image, noise = torch.zeros(1, 1, *description.shape), torch.randn(1, *description.latent_shape)
    shown, _ = generator.inpaint(label, image, region, noise)
    assert torch.isfinite(shown).all()
    assert (run / "controlnet" / "samples" / "step_00000002.png").stat().st_size > 1000


def test_resume_is_bit_identical(run: Path, dataset: RawDataset, tmp_path: Path) -> None:
    again = copy_without(run, tmp_path / "x", "generator", "controlnet")
    train("controlnet", inpainting_config(steps=2), dataset, 0, again)
    first, second = (Generator.load(folder / "generator").network.state_dict() for folder in (run, again))
    torch.testing.assert_close(first, second, atol=0, rtol=0)


def test_a_generator_without_surroundings_can_be_started_from(run: Path, dataset: RawDataset, tmp_path: Path) -> None:
    """What it is told anew changes nothing at first; a generator that knows it already keeps it."""
    plain = tiny_generator(dataset, tmp_path / "plain", window_config(steps=1))
    still = {"steps": 1, "learning_rate": 1e-12, "weight_decay": 0}
    for source, name in ((plain, "first"), (run, "second")):
        for stage in GENERATOR_STAGES:
            train(stage, inpainting_config(**still), dataset, 0, tmp_path / name, initial=Initial.load(str(source)))
        old, new = (Generator.load(folder / "generator") for folder in (source, tmp_path / name))
        told = torch.randn(1, 4, 16, 16, 12, generator=torch.Generator().manual_seed(0))
        known = told[:, : old.description.condition_channels]
        embedded = new.network.control.embed(told), old.network.control.embed(known)
        torch.testing.assert_close(*embedded, atol=1e-6, rtol=1e-4)


def test_whole_images_may_be_learnt_so_too(dataset: RawDataset, tmp_path: Path) -> None:
    tree = tiny_config(steps=1).model_dump(mode="json")
    tree["train"]["controlnet"]["inpainting"] = True
    tiny_generator(dataset, tmp_path, Config.model_validate(tree))
    assert Description.read(tmp_path / "generator").inpainting


def test_half_precision_suits_it(run: Path, dataset: RawDataset) -> None:
    cases = prepare_cases(dataset, 0, inpainting_config(), run / "cases")
    stage, batch = stage_of(run, cases, run / "latents"), rows_with_a_part(cases, cases.case_ids[0], 2)
    exact, _ = stage.loss(stage.module, batch, CPU)
    with torch.autocast("cpu", torch.bfloat16):
        loss, _ = stage.loss(stage.module, batch, CPU)
    loss.backward()
    assert loss.item() == pytest.approx(exact.item(), rel=0.05)


def real_hearts(folder: Path, names: tuple[str, ...]) -> RawDataset:
    """Some real cases with an infarct, which the data set is said to have."""
    source = shared_data("Dataset803_EmidecLGE")
    for part in ("imagesTr", "labelsTr"):
        (folder / part).mkdir(parents=True)
        for path in sorted((source / part).iterdir()):
            if path.name.startswith(names):
                (folder / part / path.name).symlink_to(path)
    (folder / "dataset.json").write_text((source / "dataset.json").read_text())
    lesions = {"lesions": {"infarct": {"within": ["myocardium"], "holds": ["no_reflow"]}}}
    (folder / ANATOMY_FILE).write_text(json.dumps(lesions))
    return RawDataset(folder)


def test_windows_of_real_hearts(tmp_path: Path) -> None:
    images = sorted((shared_data("Dataset803_EmidecLGE") / "imagesTr").iterdir())
    names = tuple(path.name.removesuffix("_0000.nii.gz") for path in images if "P" in path.name)[:3]
    hearts = real_hearts(tmp_path / "Dataset803_EmidecLGE", names)
    tree = inpainting_config(**{**STAGE, "steps": 1, "batch_size": 2}).model_dump(mode="json")
    tree["grid"] = {"shape": [64, 64, 8], "windows": True}
    tree["autoencoder"]["compression"] = None
    run = tiny_generator(hearts, tmp_path / "run", Config.model_validate(tree), fold="all")
    cases = prepare_cases(hearts, "all", Config.model_validate(tree), run / "cases")
    assert cases.record.spacing_mm == (1.5, 1.5, 10.0)
    assert cases.record.compression == (4, 4, 1)
    assert cases.record.lesions == ("infarct", "no_reflow")
    for name in cases.case_ids:
        assert (cases.load_label(name) >= 3).any()
        assert cases.record.outlines[name].sides[2] >= 8
    assert Description.read(run / "generator").latent_shape[1:] == (16, 16, 8)


def test_most_steps_show_crops_that_the_network_can_halve() -> None:
    sides = [crop_sides((96, 96, 64), (16, 16, 16), 0, "controlnet", step) for step in range(300)]
    assert sum(side is None for side in sides) / 300 == pytest.approx(1 - CROPPED, abs=0.06)
    assert {*filter(None, sides)} == {(x, y, 32) for x in (32, 48) for y in (32, 48)}
    assert sides == [crop_sides((96, 96, 64), (16, 16, 16), 0, "controlnet", step) for step in range(300)]
    assert crop_sides((16, 16, 12), (8, 8, 4), 0, "controlnet", sides.index((32, 32, 32))) == (16, 16, 8)


def test_a_network_of_whole_images_sees_crops_where_something_is(dataset: RawDataset, tmp_path: Path) -> None:
    tree = tiny_config(steps=1).model_dump(mode="json")
    tree["train"]["controlnet"]["inpainting"] = True
    tree["grid"]["shape"] = [32, 32, 24]
    config = Config.model_validate(tree)
    run = tiny_generator(dataset, tmp_path, config)
    cases = prepare_cases(dataset, 0, config, run / "cases")
    first, second = (read_export(run / name / "export", "controlnet") for name in GENERATOR_STAGES[:2])
    latents = cache_latents(cases, first, load_autoencoder(cases, config.autoencoder, first), run / "latents")
    stage = ControlNetStage(cases, ControlNetConfig.of(resolved(config, cases), "controlnet"), first, second, latents)
    shapes = {tuple(given(stage, [Row(cases.case_ids[0], step, 0)])[1].shape[2:]) for step in range(12)}
    assert shapes == {(32, 32, 24), (16, 16, 8), (16, 16, 12)}


def test_inpainting_needs_no_guidance_and_few_steps(run: Path) -> None:
    description = Generator.load(run / "generator").description
    asked = description.model_copy(update={"sampling": SamplingSettings(steps=30, guidance=2.0)})
    assert inpainting_sampling(asked) == SamplingSettings(steps=5, guidance=1.0)
    assert choose_sampling(asked, None, 1.5, inpainting=True) == SamplingSettings(steps=5, guidance=1.5)
    ancestral = asked.model_copy(update={"sampling": SamplingSettings(solver="ddpm", steps=200, guidance=2.0)})
    assert inpainting_sampling(ancestral) == SamplingSettings(solver="ddpm", steps=200, guidance=1.0)
