"""The quality filter: what is wrong is kept out for the right reason, counted and kept apart; what is right goes
through."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from pools import DATASET_JSON, GRID, blob_case
from scipy.ndimage import binary_dilation
from tiny import segmenter_config

from lldm_aug.blending.leakage import find_leaks
from lldm_aug.cli import main
from lldm_aug.config.schema import IntensitySettings
from lldm_aug.data.intensity import measure_scale
from lldm_aug.data.raw import Case, RawDataset
from lldm_aug.data.splits import load_split
from lldm_aug.data.structure_signal import CaseSignal, Range, case_signal, real_signal
from lldm_aug.errors import CheckpointError, LabelError, PoolError
from lldm_aug.geometry import Grid
from lldm_aug.labels import LabelSchema
from lldm_aug.models.description import Description
from lldm_aug.models.segmenter import HeldoutDice
from lldm_aug.pool.manifest import InpaintedRegion, MaskOrigin, read_cases, read_info
from lldm_aug.pool.merge import merge_pools
from lldm_aug.pool.pool_dataset import verify_pool
from lldm_aug.pool.provenance import StageProvenance
from lldm_aug.pool.rejected import Reason, read_rejected
from lldm_aug.pool.summary import summarise
from lldm_aug.pool.writer import Inpainted, write_case
from lldm_aug.stages.run import train
from lldm_aug.synthesis.quality_filter import QualityFilter
from lldm_aug.synthesis.synthetic_case import SyntheticCase, make_case

SCHEMA = LabelSchema.from_dataset_json(DATASET_JSON)
LIVER = LabelSchema(("liver",))


@dataclass(frozen=True)
class Threshold:
    """An evaluation segmenter in closed form for blobs: bright is liver; the dark ball inside it hcc."""

    schema: LabelSchema = SCHEMA
    num_channels: int = 1
    hash: str = "t" * 64
    stages: tuple[StageProvenance, ...] = ()

    @property
    def heldout_dice(self) -> Mapping[str, HeldoutDice]:
        return {name: HeldoutDice(mean=0.9, low=0.8, cases=10) for name in self.schema.names}

    def segment(self, image: np.ndarray, grid: Grid) -> np.ndarray:
        from scipy.ndimage import binary_fill_holes, gaussian_filter

        smooth = gaussian_filter(image[0].astype(float), 0.7)
        bright = smooth > 125
        filled = binary_fill_holes(bright)
        return np.where(filled & (smooth < 100), 2, np.where(filled, 1, 0)).astype(np.int16)


@pytest.fixture(scope="module")
def run(dataset: RawDataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of fold 0 with a segmenter, and a generator that is hardly trained."""
    out = tmp_path_factory.mktemp("runs") / "x"
    config = segmenter_config(steps=8)
    few = {name: {**getattr(config.train, name).model_dump(), "steps": 2} for name in ("autoencoder", "diffusion")}
    control = {**config.train.controlnet.model_dump(), "steps": 2, "score_every": 0}
    settings = {**config.model_dump(), "train": {**config.train.model_dump(), **few, "controlnet": control}}
    config = type(config).model_validate(settings)
    for stage in ("segmenter", "autoencoder", "diffusion", "controlnet"):
        train(stage, config, dataset, 0, out)
    return out


@pytest.fixture(scope="module")
def description(run: Path) -> Description:
    return Description.read(run / "generator")


@pytest.fixture(scope="module")
def quality_filter(description: Description) -> QualityFilter:
    """The generator's statistics of real blobs with the closed-form evaluation segmenter."""
    return QualityFilter.of(description, Threshold())


def pair(index: int = 2) -> SyntheticCase:
    """A blob that no training case is, as a generator would make it if it were perfect."""
    image, label = blob_case(1, index)
    return SyntheticCase(index, index, image[None], label, GRID, MaskOrigin(kind="procedural"))


def reasons(quality_filter: QualityFilter, case: SyntheticCase) -> set[str]:
    return {reason.name for reason in quality_filter.judge(case)}


@pytest.mark.parametrize("index", range(4))
def test_cases_like_the_real_ones_pass(quality_filter: QualityFilter, index: int) -> None:
    assert quality_filter.judge(pair(index)) == ()


def test_a_mask_may_fill_a_grid_that_real_cases_do_not(quality_filter: QualityFilter) -> None:
    """Data without exact zeros, on a grid that reaches beyond every case: zeros are what lies outside."""
    intensity = quality_filter.description.intensity.model_copy(update={"zero_background": False})
    real = quality_filter.real.model_copy(update={"zero_share": Range(low=0.3, high=0.35)})
    wide = replace(
        quality_filter, real=real, description=quality_filter.description.model_copy(update={"intensity": intensity})
    )
    case = pair()
    filled = replace(case, image=np.where(case.image == 0, np.float32(0.01), case.image))
    assert "background" not in reasons(wide, filled)
    assert "background" in reasons(wide, replace(case, image=np.zeros_like(case.image)))


def test_pairs_are_scaled_by_the_percentiles_that_real_cases_were(
    quality_filter: QualityFilter, description: Description
) -> None:
    assert description.scaling == IntensitySettings()
    settings = IntensitySettings(percentiles=(0.0, 60.0))
    case = pair()
    measured = replace(quality_filter, description=description.model_copy(update={"scaling": settings}))._signal(case)
    scaled = measure_scale(case.image, settings).apply(case.image, description.intensity.limit)
    assert measured.mean["liver"][0] == pytest.approx(scaled[0][case.label == 1].mean(), abs=0.05)
    assert measured.mean["liver"][0] != pytest.approx(quality_filter._signal(case).mean["liver"][0], abs=0.05)


def test_swapped_intensities_are_rejected_for_the_signal(quality_filter: QualityFilter) -> None:
    case = pair()
    liver, tumour = case.label == 1, case.label == 2
    image = case.image.copy()
    image[0, liver] -= 110
    image[0, tumour] += 110
    found = reasons(quality_filter, replace(case, image=image))
    assert {"mean liver", "mean hcc"} <= found
    assert not found & {"background", "zeros inside structures"}


def test_a_shifted_mask_is_rejected_by_the_segmenter(quality_filter: QualityFilter) -> None:
    case = pair()
    shifted = np.roll(case.label, 5, axis=0)
    dice = [reason for reason in quality_filter.judge(replace(case, label=shifted)) if reason.check == "dice"]
    assert {reason.structure for reason in dice} == {"liver", "hcc"}
    assert all(reason.value < reason.low == pytest.approx(0.64) for reason in dice)


def test_too_smooth_a_texture_is_rejected(quality_filter: QualityFilter) -> None:
    case = pair()
    image = case.image.copy()
    image[0, case.label == 1] = image[0, case.label == 1].mean()
    found = reasons(quality_filter, replace(case, image=image))
    assert "deviation liver" in found
    assert not found & {"mean liver", "background"}


@dataclass(frozen=True)
class Shortsighted(Threshold):
    """It has overlooked tumours in some of the real cases."""

    @property
    def heldout_dice(self) -> Mapping[str, HeldoutDice]:
        return {**super().heldout_dice, "hcc": HeldoutDice(mean=0.5, low=0.0, cases=10)}


def test_a_large_tumour_that_the_image_lacks_is_rejected(description: Description) -> None:
    """The 5th percentile asks for nothing; of a tumour of two voxels nothing else is asked either."""
    shortsighted, case = QualityFilter.of(description, Shortsighted()), pair()
    assert shortsighted.judge(case) == ()
    image, small = case.image.copy(), np.minimum(case.label, 1)
    image[0, case.label == 2] += 110  # as bright as the liver
    small[tuple(np.argwhere(case.label == 2)[:2].T)] = 2
    assert "dice hcc" in reasons(shortsighted, replace(case, image=image))
    assert "dice hcc" not in reasons(shortsighted, replace(case, image=image, label=small))


def test_an_invented_tumour_is_rejected(quality_filter: QualityFilter) -> None:
    case = pair()
    without = np.where(case.label == 2, 1, case.label).astype(np.int16)
    assert "invented hcc" in reasons(quality_filter, replace(case, label=without))


def test_noise_instead_of_zeros_is_rejected(quality_filter: QualityFilter) -> None:
    case = pair()
    image = np.where(case.image == 0, np.float32(0.01), case.image)
    assert "background" in reasons(quality_filter, replace(case, image=image))


def test_zeros_inside_structures_are_rejected(quality_filter: QualityFilter) -> None:
    case = pair()
    image = case.image.copy()
    x, y, z = (int(np.median(axis)) for axis in np.nonzero(case.label == 1))
    image[0, x - 1 : x + 2, y - 1 : y + 2, z - 1 : z + 2] = 0
    assert "zeros inside structures" in reasons(quality_filter, replace(case, image=image))


def inpainted(case: SyntheticCase, outside: float = 0.0) -> SyntheticCase:
    """The case as if the surroundings of its tumour had been painted, on a host that is brighter by ``outside``."""
    region = binary_dilation(case.label == 2, iterations=3)
    host = Case("host", np.where(case.image == 0, 0, case.image + outside), case.label, case.grid)
    record = InpaintedRegion(region="lesions", margin_mm=6, paint="diffusion", voxels=1, box=((0, 1), (0, 1), (0, 1)))
    image = np.where(region, case.image, host.image)
    return replace(case, image=image, inpainted=Inpainted(host, (), Path("label"), region, record))


def test_of_an_inpainted_pair_the_region_is_judged_and_nothing_else(quality_filter: QualityFilter) -> None:
    good = inpainted(pair())
    assert quality_filter.judge(good) == ()
    noisy = np.where(good.image == 0, np.float32(0.01), good.image)
    assert "background" in reasons(quality_filter, replace(pair(), image=noisy))
    assert "background" not in reasons(quality_filter, replace(good, image=noisy))
    assert "region border" in reasons(quality_filter, inpainted(pair(), outside=40))


def test_a_segmenter_of_other_structures_is_refused(description: Description) -> None:
    with pytest.raises(LabelError, match="the evaluation segmenter finds spleen; the masks have liver, hcc"):
        QualityFilter.of(description, Threshold(schema=LabelSchema(("spleen",))))
    with pytest.raises(LabelError, match="takes 2 channels"):
        QualityFilter.of(description, Threshold(num_channels=2))


@pytest.mark.parametrize("index", range(4))
def test_livers_pass_whatever_is_in_them_when_that_is_left_out(
    quality_filter: QualityFilter, description: Description, index: int
) -> None:
    livers = QualityFilter.of(description, Threshold(), LIVER)
    case = pair(index)
    filled = replace(case, label=(case.label > 0).astype(np.int16))
    assert livers.judge(filled) == ()
    assert "invented hcc" in reasons(quality_filter, filled)


def test_what_is_not_left_out_is_still_judged(description: Description) -> None:
    livers = QualityFilter.of(description, Threshold(), LIVER)
    case = pair()
    filled = replace(case, label=(case.label > 0).astype(np.int16))
    assert "dice liver" in reasons(livers, replace(filled, label=np.roll(filled.label, 8, axis=0)))
    dark = case.image.copy()
    dark[0, case.label == 1] -= 110
    assert "mean liver" in reasons(livers, replace(filled, image=dark))


def test_a_segmenter_has_to_find_what_the_masks_have_and_no_more(description: Description) -> None:
    assert QualityFilter.of(description, Threshold(schema=LIVER), LIVER).schema == LIVER
    with pytest.raises(LabelError, match="the evaluation segmenter finds hcc; the masks have liver"):
        QualityFilter.of(description, Threshold(schema=LabelSchema(("hcc",))), LIVER)


def test_a_generator_that_knows_no_real_cases_is_refused(description: Description) -> None:
    with pytest.raises(CheckpointError, match="what its training cases look like"):
        QualityFilter.of(description.model_copy(update={"real_signal": None}), Threshold())


def test_signal_of_a_case_in_closed_form() -> None:
    image, label = np.zeros((2, 4, 4, 4)), np.zeros((4, 4, 4), np.int16)
    label[:2], label[3, 3, 3] = 1, 2  # the second has too few voxels to say anything
    image[0][label == 1], image[1, :2, :2] = 0.5, 1.0
    zeros = np.zeros((4, 4, 4))
    zeros[0], zeros[3] = 1, 0.4
    found = case_signal(image, label, zeros, SCHEMA)
    assert found.mean == {"liver": (0.5, 0.5)}
    assert found.deviation == {"liver": (0.0, 0.5)}
    assert found.zero_share == pytest.approx(0.35)
    assert found.zeros_inside == pytest.approx(16 / 33)


def test_ranges_are_those_of_the_cases_that_show_a_structure() -> None:
    first = CaseSignal({"liver": (0.5,)}, {"liver": (0.1,)}, 0.3, 0.0)
    second = CaseSignal({"liver": (0.7,), "hcc": (0.1,)}, {"liver": (0.2,), "hcc": (0.3,)}, 0.1, 0.0)
    found = real_signal([first, second])
    assert (found.mean["liver"][0].low, found.mean["liver"][0].high) == (0.5, 0.7)
    assert (found.mean["hcc"][0].low, found.mean["hcc"][0].high) == (0.1, 0.1)
    assert (found.zero_share.low, found.zero_share.high) == (0.1, 0.3)


def arguments(run: Path, dataset: RawDataset, out: Path, n: int, *more: str) -> list[str]:
    base = ["generate", "--model", str(run), "--data", str(dataset.folder), "--fold", "0", "--masks", "real"]
    return [*base, "--n", str(n), "--out", str(out), "--filter", *more]


@pytest.fixture(scope="module")
def rejecting(run: Path, dataset: RawDataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What is left of a pool when the generator is hardly trained: nothing but rejected pairs."""
    out = tmp_path_factory.mktemp("pools") / "p"
    result = CliRunner().invoke(main, arguments(run, dataset, out, 3))
    assert result.exit_code == 1
    assert "the quality filter rejected all 3 pairs" in result.stderr
    assert "train the generator for longer" in result.stderr
    assert "3 pairs that the quality filter rejected (" in result.stdout
    return out


def test_rejected_pairs_are_kept_apart_with_reasons(rejecting: Path) -> None:
    assert read_cases(rejecting) == {}
    rejected = read_rejected(rejecting)
    assert [case.index for case in rejected.values()] == [0, 1, 2]
    assert all(case.reasons for case in rejected.values())
    for case in rejected.values():
        assert (rejecting / "rejected" / "images" / f"{case.case_id}_0000.nii.gz").is_file()
    assert not (rejecting / "images").exists()


def test_summary_says_who_judged_and_why(rejecting: Path, run: Path) -> None:
    summary = summarise(rejecting)
    assert (summary.cases, summary.rejected_pairs) == (0, 3)
    assert max(summary.rejected_for.values()) <= 3
    from lldm_aug.models.segmenter import Segmenter

    assert summary.segmenters == (Segmenter.load(run / "segmenter" / "export").hash,)
    shown = CliRunner().invoke(main, ["pool", "show", str(rejecting)]).output
    assert summary.segmenters[0] in shown


def test_masks_drawn_again_count_for_rejected_pairs_too(rejecting: Path, tmp_path: Path) -> None:
    shutil.copytree(rejecting, tmp_path / "p")
    origin, reason = MaskOrigin(kind="real", rejected=2), Reason(check="dice", value=0, low=0.5, high=1)
    image, label = blob_case(1, 0)
    write_case(tmp_path / "p", "again", 9, 9, image[None], label, GRID, origin, [reason])
    assert summarise(tmp_path / "p").rejected_masks == summarise(rejecting).rejected_masks + 2


def test_rejected_pairs_are_not_made_again(rejecting: Path, run: Path, dataset: RawDataset, tmp_path: Path) -> None:
    shutil.copytree(rejecting, tmp_path / "p")
    before = (tmp_path / "p" / "rejected.jsonl").read_bytes()
    CliRunner().invoke(main, arguments(run, dataset, tmp_path / "p", 3))
    assert (tmp_path / "p" / "rejected.jsonl").read_bytes() == before
    CliRunner().invoke(main, arguments(run, dataset, tmp_path / "p", 4))
    assert [case.index for case in read_rejected(tmp_path / "p").values()] == [0, 1, 2, 3]


def test_parts_reject_the_same_pairs(rejecting: Path, run: Path, dataset: RawDataset, tmp_path: Path) -> None:
    for part in ("1", "0"):
        CliRunner().invoke(main, arguments(run, dataset, tmp_path / "p", 3, "--num-parts", "2", "--part-id", part))
    assert read_rejected(tmp_path / "p") == read_rejected(rejecting)


def test_the_filter_belongs_to_the_settings_of_a_pool(rejecting: Path, run: Path, dataset: RawDataset) -> None:
    line = [word for word in arguments(run, dataset, rejecting, 4) if word != "--filter"]
    result = CliRunner().invoke(main, line)
    assert result.exit_code == 1
    assert "begun with other settings: quality_filter" in result.stderr


def test_a_dry_run_names_the_segmenter_and_refuses_one_that_is_missing(
    run: Path, dataset: RawDataset, tmp_path: Path
) -> None:
    line = arguments(run, dataset, tmp_path / "p", 2, "--dry-run")
    assert f"of {run / 'generator'}" in CliRunner().invoke(main, line).output
    refused = CliRunner().invoke(main, [*line, "--segmenter", str(tmp_path)])
    assert refused.exit_code == 1
    assert "no segmenter" in refused.stderr
    assert not (tmp_path / "p").exists()


def test_what_the_segmenter_saw_can_leak(rejecting: Path, dataset: RawDataset) -> None:
    provenance = read_info(rejecting).generator
    seen = load_split(dataset, 0).train[0]
    leaks = find_leaks(provenance, [], dataset=dataset.name, validation={seen: None})
    assert "segmenter" in {leak.stage for leak in leaks}


def test_verify_looks_at_rejected_files_too(rejecting: Path, tmp_path: Path) -> None:
    assert verify_pool(rejecting) == 0
    shutil.copytree(rejecting, tmp_path / "p")
    next((tmp_path / "p" / "rejected" / "labels").iterdir()).unlink()
    with pytest.raises(PoolError, match=r"delete the line of its case in rejected\.jsonl"):
        verify_pool(tmp_path / "p")


def test_merging_takes_rejected_pairs_along(rejecting: Path, run: Path, dataset: RawDataset, tmp_path: Path) -> None:
    line = [word for word in arguments(run, dataset, tmp_path / "free", 2, "--seed", "5") if word != "--filter"]
    assert CliRunner().invoke(main, line).exit_code == 0
    merged = CliRunner().invoke(main, ["pool", "merge", *map(str, (tmp_path / "all", tmp_path / "free", rejecting))])
    assert "2 cases and 3 rejected pairs, 5 copied now" in merged.output
    assert list(merge_pools(tmp_path / "all", [tmp_path / "free", rejecting])) == []
    summary = summarise(tmp_path / "all")
    assert (summary.cases, summary.rejected_pairs) == (2, 3)
    assert summary.segmenters == summarise(rejecting).segmenters
    assert verify_pool(tmp_path / "all") == 2
    stages = [stage.stage for stage in read_info(tmp_path / "all").generator.stages]
    assert sorted(stages) == ["autoencoder", "controlnet", "diffusion", "segmenter"]


def test_a_pool_where_some_pass_has_them_and_only_them(run: Path, dataset: RawDataset, tmp_path: Path) -> None:
    from lldm_aug.masks import make_mask_source
    from lldm_aug.models.generator import Generator
    from lldm_aug.pool.writer import open_pool
    from lldm_aug.synthesis.generate import generate, kept_cases, missing_indices
    from lldm_aug.synthesis.generation_plan import choose_sampling, describe_pool, request_masks

    @dataclass(frozen=True)
    class Every:
        """A quality filter that rejects every second pair."""

        quality_filter: QualityFilter

        def judge(self, case: SyntheticCase) -> tuple:
            return (
                self.quality_filter.judge(replace(case, label=np.zeros_like(case.label)))[:1] if case.index % 2 else ()
            )

    generator = Generator.load(run / "generator")
    request = request_masks(generator.description, "real", str(dataset.folder), 0)
    sampling = choose_sampling(generator.description, None, None)
    real = QualityFilter.of(generator.description, Threshold())
    open_pool(tmp_path, describe_pool(generator.description, generator.hash, request, 0, sampling, real))
    source = make_mask_source("real", SCHEMA, dataset=dataset, cases=request.cases, grid=generator.description.grid)
    todo = missing_indices(tmp_path, 4, 0)
    made = list(generate(partial(make_case, generator, source, sampling), tmp_path, 0, todo, Every(real)))
    assert [case.index for case in made] == todo == [0, 1, 2, 3]
    assert [case.index for case in read_cases(tmp_path).values()] == [0, 2]
    assert [case.index for case in read_rejected(tmp_path).values()] == [1, 3]
    assert missing_indices(tmp_path, 5, 0) == [4]
    assert kept_cases(tmp_path) == 2
    assert json.loads((tmp_path / "pool.json").read_text())["settings"]["quality_filter"]["segmenter"] == "t" * 64
