"""Structures left out of masks: unknown to the generator and gone from the pool."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from nnunet_project import CONFIGURATION, Project
from pools import content
from tiny import tiny_config, tiny_generator

from lldm_aug.anatomy.declaration import ANATOMY_FILE
from lldm_aug.blending.leakage import find_leaks
from lldm_aug.cli import main
from lldm_aug.data.partial import PARTIAL_FILE
from lldm_aug.data.raw import RawDataset
from lldm_aug.data.splits import load_split
from lldm_aug.errors import LabelError
from lldm_aug.io.atomic import write_json
from lldm_aug.io.nifti import read_label, write_nifti
from lldm_aug.labels import HBP, LabelSchema
from lldm_aug.masks.relabelling import Relabelling
from lldm_aug.models.description import Description
from lldm_aug.pool.manifest import read_cases, read_info
from lldm_aug.pool.pool_dataset import PoolDataset, verify_pool
from lldm_aug.synthesis.generation_plan import describe_pool, request_masks
from nnunet_integration.prepare import check_agreement
from nnunet_integration.target import Target


def other_labels(dataset: RawDataset, out: Path, labels: dict[str, int], table: list[int]) -> RawDataset:
    """The same cases with other integers for their labels 0, 1 and 2."""
    for case_id in dataset.case_ids:
        mask = read_label(dataset.label_path(case_id))
        relabelled = np.array(table, dtype=np.uint8)[mask.data]
        write_nifti(out / "labelsTr" / f"{case_id}.nii.gz", replace(mask, data=relabelled))
    (out / "imagesTr").symlink_to(dataset.folder / "imagesTr")
    write_json(out / "dataset.json", {**dataset.description, "labels": labels})
    return RawDataset(out)


@pytest.fixture(scope="module")
def run(dataset: RawDataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A generator of liver and tumours, hardly trained."""
    return tiny_generator(dataset, tmp_path_factory.mktemp("runs") / "x", tiny_config(steps=2))


@pytest.fixture(scope="module")
def liver_only(dataset: RawDataset, tmp_path_factory: pytest.TempPathFactory) -> RawDataset:
    """The same cases as annotated by someone who draws livers whole, and nothing else."""
    folder = tmp_path_factory.mktemp("data") / "Dataset997_Livers"
    return other_labels(dataset, folder, {"background": 0, "liver": 1}, [0, 1, 1])


def generate(run: Path, out: Path, *more: str, n: int = 2) -> str:
    """Runs the command, which must succeed; returns what it printed."""
    result = CliRunner().invoke(main, ["generate", "--model", str(run), "--n", str(n), "--out", str(out), *more])
    assert result.exit_code == 0, result.output
    return result.output


def refused(run: Path, out: Path, *more: str) -> str:
    """Runs the command, which must fail; returns its message."""
    result = CliRunner().invoke(main, ["generate", "--model", str(run), "--n", "1", "--out", str(out), *more])
    assert result.exit_code in (1, 2), result.output
    assert not (out / "pool.json").exists()
    return result.stderr


def of(dataset: RawDataset, masks: str = "real") -> tuple[str, ...]:
    """Options for masks of its fold 0."""
    return ("--data", str(dataset.folder), "--fold", "0", "--masks", masks)


@pytest.fixture(scope="module")
def pool(run: Path, liver_only: RawDataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three cases for deformed masks of livers."""
    out = tmp_path_factory.mktemp("pools") / "p"
    generate(run, out, *of(liver_only, "deformed"), n=3)
    return out


def test_a_pool_has_the_structures_of_its_masks(pool: Path, liver_only: RawDataset) -> None:
    assert verify_pool(pool) == 3
    info = read_info(pool)
    assert info.dataset_json["labels"] == {"background": 0, "liver": 1}
    assert (info.mask_dataset, info.fold) == (liver_only.name, 0)
    for case in read_cases(pool).values():
        assert case.mask.source_sha256 == liver_only.label_hash(case.mask.source_case or "")
        assert set(np.unique(read_label(pool / "labels" / f"{case.case_id}.nii.gz").data)) == {0, 1}


def test_nnunet_takes_the_pool_for_that_data_set(pool: Path, liver_only: RawDataset, project: Project) -> None:
    target = Target.find("700", CONFIGURATION)
    check_agreement(PoolDataset(pool), replace(target, dataset_json=liver_only.description))
    with pytest.raises(LabelError, match="hcc"):
        check_agreement(PoolDataset(pool), target)


def test_what_the_masks_saw_can_leak(pool: Path, liver_only: RawDataset) -> None:
    origins = [case.mask for case in read_cases(pool).values()]
    seen = origins[0].source_case or ""
    leaks = find_leaks(read_info(pool).generator, origins, dataset=liver_only.name, validation={seen: None})
    assert "masks" in {leak.stage for leak in leaks}


def test_parts_make_the_same_cases(pool: Path, run: Path, liver_only: RawDataset, tmp_path: Path) -> None:
    for part in ("1", "0"):
        generate(run, tmp_path, *of(liver_only, "deformed"), "--num-parts", "2", "--part-id", part, n=3)
    assert content(tmp_path) == content(pool)


def test_leaving_out_is_the_same_as_never_having_had(
    run: Path, dataset: RawDataset, liver_only: RawDataset, tmp_path: Path
) -> None:
    generate(run, tmp_path / "left out", *of(dataset), "--unknown", "hcc")
    generate(run, tmp_path / "never had", *of(liver_only))
    assert content(tmp_path / "left out") == content(tmp_path / "never had")


def test_unknown_is_not_absent(run: Path, dataset: RawDataset, liver_only: RawDataset, tmp_path: Path) -> None:
    labels = {"background": 0, "liver": 1, "hcc": 2}
    without = other_labels(dataset, tmp_path / "Dataset996_NoTumours", labels, [0, 1, 1])
    generate(run, tmp_path / "absent", *of(without))
    generate(run, tmp_path / "unknown", *of(liver_only))
    absent, unknown = content(tmp_path / "absent"), content(tmp_path / "unknown")
    same = {name for name in absent if absent[name] == unknown[name]}
    assert same == {name for name in absent if name.startswith("labels/")}


def test_the_order_of_labels_is_the_data_sets(run: Path, dataset: RawDataset, tmp_path: Path) -> None:
    labels = {"background": 0, "hcc": 1, "liver": 2}
    swapped = other_labels(dataset, tmp_path / "Dataset995_Swapped", labels, [0, 2, 1])
    generate(run, tmp_path / "theirs", *of(swapped))
    generate(run, tmp_path / "ours", *of(dataset))
    assert read_info(tmp_path / "theirs").dataset_json["labels"] == labels
    for case_id in read_cases(tmp_path / "ours"):
        theirs, ours = (read_label(tmp_path / p / "labels" / f"{case_id}.nii.gz").data for p in ("theirs", "ours"))
        # A voxel halfway between two structures goes to the one with the lower integer.
        assert np.mean(theirs != np.array([0, 2, 1])[ours]) < 0.01
        assert set(np.unique(theirs)) == {0, 1, 2}
    images = [{n: h for n, h in content(tmp_path / p).items() if "images" in n} for p in ("theirs", "ours")]
    assert images[0] == images[1]


def test_what_is_left_out_belongs_to_the_pool(run: Path, dataset: RawDataset, tmp_path: Path) -> None:
    generate(run, tmp_path / "some", *of(dataset), "--unknown", "hcc", n=1)
    generate(run, tmp_path / "all", *of(dataset), n=1)
    assert "labels" not in read_info(tmp_path / "all").settings
    for out, more in (("some", ()), ("all", ("--unknown", "hcc")), ("some", ("--unknown", "liver"))):
        command = ["generate", "--model", str(run), "--n", "2", "--out", str(tmp_path / out), *of(dataset), *more]
        result = CliRunner().invoke(main, command)
        assert result.exit_code == 1
        assert "begun with other settings: labels" in result.stderr


def test_the_anatomy_belongs_to_a_pool_of_edited_masks(run: Path, dataset: RawDataset, tmp_path: Path) -> None:
    own = other_labels(dataset, tmp_path / "Dataset996_Own", {"background": 0, "liver": 1, "hcc": 2}, [0, 1, 2])
    description = Description.read(run / "generator")
    hashes = []
    for text in (None, "within: [liver]", "within: [liver], cut: true"):
        if text is not None:
            (own.folder / ANATOMY_FILE).write_text(f"lesions:\n  hcc: {{{text}}}\n")
        masks = request_masks(description, "edited", str(own.folder), 0)
        info = describe_pool(description, "hash", masks, 0, description.sampling)
        hashes.append((info.settings["anatomy"], info.settings_hash))
    assert all(len({*each}) == 3 for each in zip(*hashes, strict=True))
    deformed = request_masks(description, "deformed", str(own.folder), 0)
    assert "anatomy" not in describe_pool(description, "hash", deformed, 0, description.sampling).settings


def test_dry_run_says_what_is_unknown(run: Path, dataset: RawDataset, liver_only: RawDataset, tmp_path: Path) -> None:
    shown = [generate(run, tmp_path / "p", *of(d), *more, "--dry-run") for d, more in (
        (dataset, ()), (dataset, ("--unknown", "hcc")), (liver_only, ()))]  # fmt: skip
    assert "structures liver, hcc; unknown: none" in shown[0]
    assert "structures liver; unknown: hcc" in shown[1]
    assert "structures liver; unknown: hcc" in shown[2]
    assert not (tmp_path / "p").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--unknown", "spleen"), "no structure 'spleen'; there are liver, hcc"),
        (("--unknown", "liver", "--unknown", "hcc"), "no structure is left"),
        (("--unknown", "hcc", "--masks", "edited"), "edited masks are about tumours"),
    ],
)
def test_what_cannot_be_left_out_is_refused(
    run: Path, dataset: RawDataset, tmp_path: Path, options: tuple[str, ...], message: str
) -> None:
    assert message in refused(run, tmp_path / "p", *of(dataset), *options)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ({"background": 0, "liver": 1, "spleen": 2}, "the generator knows liver, hcc, not liver, spleen"),
        ({"background": 0, "liver": 1, "ignore": 2}, "ignore label"),
    ],
)
def test_what_the_generator_does_not_know_is_refused(
    run: Path, dataset: RawDataset, tmp_path: Path, labels: dict[str, int], message: str
) -> None:
    other = other_labels(dataset, tmp_path / "Dataset994_Other", labels, [0, 1, 2])
    assert message in refused(run, tmp_path / "p", *of(other), "--dry-run")


def test_cases_that_lack_only_what_is_left_out_lend_their_masks(run: Path, dataset: RawDataset, tmp_path: Path) -> None:
    names = {"background": 0, "liver": 1, "hcc": 2}
    partial = other_labels(dataset, tmp_path / "Dataset998_Blobs", names, [0, 1, 1])
    train = load_split(partial, 0).train
    write_json(partial.folder / PARTIAL_FILE, {case_id: ["hcc"] for case_id in train} | {train[0]: ["liver", "hcc"]})
    message = refused(run, tmp_path / "p", *of(partial))
    assert "leaves no mask with all structures" in message
    assert "--unknown" in message
    request = request_masks(
        Description.read(run / "generator"), "real", str(partial.folder), 0, left_out=("hcc",), write_split=False
    )
    assert request.cases == train[1:]


def test_the_embedded_generator_makes_livers_alone(tmp_path: Path) -> None:
    names = [word for name in HBP.names[1:] for word in ("--unknown", name)]
    result = CliRunner().invoke(main, ["generate", "--n", "1", "--steps", "2", "--out", str(tmp_path), *names])
    assert result.exit_code == 0, result.output
    assert json.loads((tmp_path / "pool.json").read_text())["settings"]["labels"] == {"background": 0, "liver": 1}
    (case_id,) = read_cases(tmp_path)
    assert set(np.unique(read_label(tmp_path / "labels" / f"{case_id}.nii.gz").data)) == {0, 1}


def test_parts_of_the_liver_become_liver_and_others_background() -> None:
    schema = LabelSchema(("spleen", "liver", "hcc", "portal_vein"), ignore=5)
    label = np.arange(6).reshape(1, 2, 3)
    left = schema.without(("spleen", "hcc"))
    assert left == LabelSchema(("liver", "portal_vein"), ignore=3)
    assert Relabelling(schema, left).apply(label).ravel().tolist() == [0, 0, 1, 1, 2, 3]
    no_liver = schema.without(("liver", "hcc"))
    assert Relabelling(schema, no_liver).apply(label).ravel().tolist() == [0, 1, 0, 0, 2, 3]


@given(st.permutations(HBP.names), st.integers(0, 2**32 - 1))
def test_another_order_can_be_undone(names: list[str], seed: int) -> None:
    other = LabelSchema(tuple(names))
    label = np.random.default_rng(seed).integers(0, 5, (3, 3, 3)).astype(np.int16)
    there = Relabelling(HBP, other)
    assert there.left_out == there.unknown == ()
    assert np.array_equal(Relabelling(other, HBP).apply(there.apply(label)), label)
