"""The realism test finds what is blurred, finds no difference where there is none, and never mixes patients."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from pools import DATASET_JSON, GRID, provenance, write_dataset
from scipy.ndimage import gaussian_filter

from lldm_aug.anatomy.declaration import default_anatomy
from lldm_aug.cli import main
from lldm_aug.data.raw import Case, RawDataset
from lldm_aug.errors import DatasetError, PoolError
from lldm_aug.evaluation.measure.features import FeatureCache
from lldm_aug.evaluation.realism import trial
from lldm_aug.evaluation.realism.classifier import PatchNetwork, _texture, scores, train_classifier
from lldm_aug.evaluation.realism.patches import SHIFT, Patch, PatchFormat, painted_lesions
from lldm_aug.evaluation.realism.realism_plan import plan_realism
from lldm_aug.evaluation.realism.realism_report import copies
from lldm_aug.evaluation.realism.realism_test import RealismMeasured
from lldm_aug.evaluation.realism.trial import Training, area, halves, matched, run_trial
from lldm_aug.inpainting.real_lesions import lesion_parts
from lldm_aug.io.atomic import write_json
from lldm_aug.io.nifti import write_nifti
from lldm_aug.labels import LabelSchema
from lldm_aug.pool.manifest import POOL_FILE, InpaintedRegion, MaskOrigin, PoolCase, PoolInfo, append_case
from lldm_aug.pool.pool_dataset import file_record
from lldm_aug.seeds import numpy_rng
from lldm_aug.volume import Volume

SCHEMA = LabelSchema.from_dataset_json(DATASET_JSON)
ANATOMY = default_anatomy(SCHEMA)
SIDE = (12, 12, 8)


def patch(number: int, patient: str = "anna", diameter_mm: float = 10.0) -> Patch:
    shape = tuple(n + 2 * SHIFT for n in SIDE)
    noise = numpy_rng("patch", number).normal(scale=0.3, size=(1, *shape)).astype(np.float32)
    lesion = np.zeros(shape, dtype=bool)
    lesion[5:11, 5:11, 4:8] = True
    return Patch(noise - lesion, lesion, patient, diameter_mm)


def test_lesions_are_matched_in_size_and_each_is_used_once() -> None:
    real = [patch(i, diameter_mm=d) for i, d in enumerate((10.0, 20.0, 21.0, 60.0))]
    painted = [patch(i, diameter_mm=d) for i, d in enumerate((10.5, 20.5, 20.6, 20.7, 30.0))]
    pairs = matched(real, painted, 0)
    assert sorted(one.diameter_mm for one, _ in pairs) == [10.0, 20.0, 21.0]
    assert max(two.diameter_mm for _, two in pairs) < 30
    assert matched(real, painted, 0) == pairs


def test_halves_share_no_patient_and_are_drawn_anew() -> None:
    patients = [f"p{i}" for i in range(11)]
    one, other = halves(patients, 0, 1)
    assert not one & other
    assert one | other == {*patients}
    assert halves(patients, 1, 1)[0] != one


def test_the_area_is_that_of_the_curve_and_resamples_patients() -> None:
    wins = np.array([[1.0, 1.0], [0.0, 1.0]])  # two painted lesions, two real ones
    tested = trial.Tested(("a", "b"), ("a", "c"), wins, [])
    assert tested.auc({"a": 1, "b": 1, "c": 1}) == 0.75
    assert tested.auc({"a": 1, "b": 0, "c": 1}) == 0.5
    assert np.isnan(tested.auc({"a": 0, "b": 1, "c": 0}))
    found = area([tested], 0)
    assert found.low < found.value == 0.75 < found.high


def test_blurred_lesions_are_found_and_equal_ones_are_not() -> None:
    patients = [f"p{i}" for i in range(12)]
    lesions = {patient: [patch(5 * i + k, patient) for k in range(5)] for i, patient in enumerate(patients)}

    def of(half: frozenset[str]) -> list[Patch]:
        return [one for patient in sorted(half) for one in lesions[patient]]

    spacing_mm, training = (2.0, 2.0, 3.0), Training(0, 40)
    blurred = run_trial(
        lambda half, _: [(one, one.blurred(spacing_mm)) for one in of(half)],
        patients,
        "blurred",
        training,
    )
    same = run_trial(lambda half, _: [(one, one) for one in of(half)], patients, "same", Training(0, 5))
    assert area(blurred, 0).value > 0.9
    assert area(same, 0).value == pytest.approx(0.5)
    for test in blurred:
        assert {*test.real} == {*test.painted}
    with pytest.raises(DatasetError, match="0 painted lesions"):
        run_trial(lambda half, _: [], patients, "none", training)


def test_a_network_does_not_depend_on_the_global_generator() -> None:
    real, painted = [patch(i) for i in range(4)], [patch(i + 4) for i in range(4)]
    found = [scores(train_classifier(real, painted, 1, steps=2), real) for _ in range(2)]
    np.testing.assert_array_equal(*found)
    network = PatchNetwork(2, (8, 8, 4)).eval()
    assert network(torch.zeros(1, 2, 8, 8, 4), torch.ones(1, 1, 8, 8, 4)).shape == (1,)


def ball_case(centre: tuple[int, int, int] = (16, 14, 12)) -> Case:
    label = np.ones(GRID.shape, dtype=np.int16)
    axes = np.moveaxis(np.indices(GRID.shape), 0, -1)
    label[np.linalg.norm(axes - centre, axis=-1) <= 3] = 2
    image = numpy_rng("ball").normal(size=(1, *GRID.shape)).astype(np.float32)
    return Case("ball", image, label, GRID)


def test_a_patch_lies_around_its_lesion_without_interpolation() -> None:
    case = ball_case()
    form = PatchFormat((9, 9, 5), (2.0, 2.0, 3.0), None)
    (part,) = lesion_parts(case.label, SCHEMA, ANATOMY)
    (found,) = form.cut(case, [part], "anna")
    np.testing.assert_array_equal(found.lesion, case.label[10:23, 8:21, 8:17] == 2)
    shown = case.image[0, 10:23, 8:21, 8:17]
    assert np.corrcoef(np.clip(shown, -2, 2).ravel(), np.clip(found.image[0], -1, 1).ravel())[0, 1] > 0.95
    coarse = PatchFormat((9, 9, 5), (4.0, 2.0, 3.0), None)
    assert next(coarse.cut(case, [part], "anna")).image.shape == (1, 13, 13, 9)


def test_only_painted_lesions_of_a_pair_count() -> None:
    host = ball_case()
    label = host.label.copy()
    label[2:6, 2:6, 2:6] = 2
    image = host.image.copy()
    image[:, 2:6, 2:6, 2:6] += 1
    pair = Case("pair", image, label, GRID)
    (part,) = painted_lesions(pair, host, SCHEMA, ANATOMY)
    assert part.box == (slice(2, 6),) * 3


def test_a_copied_lesion_is_found_and_another_one_is_not(tmp_path: Path) -> None:
    real = {f"p{i}": [patch(i, f"p{i}")] for i in range(12)}
    copied = replace(real["p3"][0], patient="p5")
    pools = {"copied": {"p5": [copied]}, "own": {"p3": real["p3"]}, "new": {"p5": [patch(99, "p5")]}}
    measured = RealismMeasured(PatchFormat(SIDE, (2.0, 2.0, 3.0), None), real, pools, {})
    rows = {(row[0], row[1]): row[2] for row in copies(measured, FeatureCache(tmp_path, Mean())).rows}
    assert rows["copied", "image"] == rows["copied", "features"] == "copies"
    assert rows["own", "image"] == rows["new", "image"] == "no sign of copies"


class Mean:
    """A network whose features are a few voxels."""

    name, identity = "voxels", "voxels"

    def features(self, slices: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(slices[:, 4:8, 4:8].reshape(len(slices), -1))


def write_inpainted(folder: Path, dataset: RawDataset, smoothing: float) -> Path:
    """A pool whose pairs are the data set's cases with other lesions: theirs, smoothed."""
    info = PoolInfo(
        lldm_aug_version="0.1.0",
        seed=0,
        mask_source="real",
        mask_dataset=dataset.name,
        fold="all",
        split_hash=None,
        dataset_json=DATASET_JSON,
        generator=provenance(),
        settings_hash="h",
        settings={},
    )
    folder.mkdir()
    write_json(folder / POOL_FILE, json.loads(info.model_dump_json()))
    record = InpaintedRegion(region="lesions", margin_mm=0, paint="copy-paste", voxels=1, box=((0, 1), (0, 1), (0, 1)))
    for index, case_id in enumerate(dataset.case_ids):
        host = dataset.load(case_id)
        image = np.where(host.label == 2, gaussian_filter(host.image[0], smoothing) + 0.01, host.image[0])
        name = f"syn_{index:04d}"
        names = {f"images/{name}_0000.nii.gz": image, f"labels/{name}.nii.gz": host.label}
        for path, data in names.items():
            write_nifti(folder / path, Volume(data, host.grid))
        origin = MaskOrigin(
            kind="real",
            source_dataset=dataset.name,
            source_case=case_id,
            source_sha256=dataset.label_hash(case_id),
        )
        files = {path: file_record(folder / path) for path in names}
        append_case(folder, PoolCase(case_id=name, index=index, seed=0, mask=origin, inpainting=record, files=files))
    return folder


def test_the_command_writes_its_report(tmp_path: Path) -> None:
    dataset = RawDataset(write_dataset(tmp_path / "Dataset998_Blobs", cases=12))
    pool = write_inpainted(tmp_path / "smooth", dataset, 1.5)
    out = tmp_path / "report"
    result = CliRunner().invoke(
        main,
        ["evaluate", "realism", "--real", str(dataset.folder), "--pool", str(pool), "--out", str(out), "--steps", "20"],
    )
    assert result.exit_code == 0, result.output
    found = json.loads((out / "results.json").read_text())
    auc, kid, copied = found["tables"]
    assert [row[0] for row in auc["rows"]] == ["smooth", "blurred"]
    assert auc["rows"][0][1] > 0.8
    assert [row[1] for row in kid["rows"]] == ["smooth", "blurred"]
    assert [row[:2] for row in copied["rows"]] == [["smooth", "features"], ["smooth", "image"]]
    assert "smooth" in (out / "report.md").read_text()
    assert (out / "auc.csv").is_file()


def test_pools_without_hosts_and_unknown_hosts_are_refused(tmp_path: Path) -> None:
    dataset = RawDataset(write_dataset(tmp_path / "Dataset998_Blobs", cases=4))
    other = RawDataset(write_dataset(tmp_path / "Dataset997_Others", cases=4, seed=5))
    pool = write_inpainted(tmp_path / "pool", dataset, 1.0)
    with pytest.raises(PoolError, match="that Dataset997_Others lacks"):
        plan_realism(str(other.folder), (pool,), (), 0)
    (line, *_) = (pool / "manifest.jsonl").read_text().splitlines()
    (pool / "manifest.jsonl").write_text(json.dumps({**json.loads(line), "inpainting": None}) + "\n")
    with pytest.raises(PoolError, match="not inpainted"):
        plan_realism(str(dataset.folder), (pool,), (), 0)
    (dataset.folder / "patients.json").write_text(json.dumps(dict.fromkeys(dataset.case_ids, "anna")))
    (pool / "manifest.jsonl").write_text(line + "\n")
    with pytest.raises(DatasetError, match="1 patients"):
        plan_realism(str(dataset.folder), (pool,), (), 0)


def test_texture_is_measured_by_that_of_the_surroundings() -> None:
    rng = torch.Generator().manual_seed(0)
    image, near = torch.randn(2, 1, 20, 20, 20, generator=rng), torch.zeros(2, 1, 20, 20, 20)
    near[:, :, 5:15, 5:15, 5:15] = 1
    smoother = torch.where(near > 0, 0.3 * image, image)
    faint = _texture(0.1 * smoother, near)
    torch.testing.assert_close(faint, _texture(smoother, near))
    assert faint[near == 0].abs().median().item() == pytest.approx(1, abs=0.1)
    assert faint[:, :, 6:14, 6:14, 6:14].abs().median().item() == pytest.approx(0.3, abs=0.05)
