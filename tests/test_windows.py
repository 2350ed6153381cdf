"""Windows of cases that are kept whole: what is drawn, read, encoded and counted."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from pools import DATASET_JSON, GRID, blob_case
from tiny import BASELINE_STAGES, copy_without, tiny_config, window_config

from lldm_aug.baselines.model import Baseline
from lldm_aug.data.raw import RawDataset
from lldm_aug.errors import IncompatibleResume
from lldm_aug.geometry import Box, Grid
from lldm_aug.io.atomic import write_json
from lldm_aug.io.nifti import write_nifti
from lldm_aug.io.weights import load_tensors
from lldm_aug.models.autoencoder import Autoencoder
from lldm_aug.models.description import Description
from lldm_aug.models.generator import Generator
from lldm_aug.stages.run import train
from lldm_aug.stages.table import GENERATOR_STAGES
from lldm_aug.training.autoencoder_stage import AutoencoderConfig, AutoencoderStage
from lldm_aug.training.latents import LatentCache, cache_moments, encode_in_windows
from lldm_aug.training.order import Row
from lldm_aug.training.prepared_cases import CaseSet, PreparedCase, prepare_cases
from lldm_aug.training.segmenter_stage import SegmenterConfig, SegmenterStage
from lldm_aug.training.window_crops import box_at
from lldm_aug.volume import Volume

CELLS = (4, 4, 2)


@pytest.fixture(scope="module")
def cases(dataset: RawDataset, tmp_path_factory: pytest.TempPathFactory) -> CaseSet:
    return prepare_cases(dataset, 0, window_config(), tmp_path_factory.mktemp("run") / "cases")


def thin_dataset(folder: Path, slices: int) -> RawDataset:
    """Blobs of few slices."""
    grid = Grid.regular((32, 28, slices), (2.0, 2.0, 3.0))
    for index in range(5):
        image, label = blob_case(0, index, grid)
        write_nifti(folder / "imagesTr" / f"case_{index:02d}_0000.nii.gz", Volume(image, grid))
        write_nifti(folder / "labelsTr" / f"case_{index:02d}.nii.gz", Volume(label, grid))
    write_json(folder / "dataset.json", {**DATASET_JSON, "numTraining": 5})
    return RawDataset(folder)


def test_a_case_is_kept_whole_voxel_by_voxel(dataset: RawDataset, cases: CaseSet) -> None:
    name = cases.case_ids[0]
    kept, native = cases.load(name, cases.whole(name)), dataset.load(name)
    assert cases.record.spacing_mm == (2.0, 2.0, 3.0)
    assert kept.label.shape == GRID.shape
    assert np.array_equal(kept.label.numpy(), native.label)
    scale = cases.record.intensity.scales[sorted(cases.record.cases).index(name)]
    expected = scale.apply(native.image, cases.record.intensity.limit)
    np.testing.assert_allclose(kept.image.numpy(), expected, atol=1e-3)
    assert np.array_equal(kept.foreground.numpy() == 0, native.image[0] == 0)
    assert cases.inside([name], [cases.whole(name)]).all()


def test_windows_are_prepared_anew(dataset: RawDataset, cases: CaseSet) -> None:
    with pytest.raises(IncompatibleResume):
        prepare_cases(dataset, 0, tiny_config(), cases.folder)
    assert prepare_cases(dataset, 0, window_config(), cases.folder).record == cases.record


def test_a_case_of_few_slices_is_padded_with_what_is_unknown(tmp_path: Path) -> None:
    config = window_config((16, 16, 12))
    thin = prepare_cases(thin_dataset(tmp_path / "Dataset995_Thin", 5), 0, config, tmp_path / "cases")
    name = thin.case_ids[0]
    assert thin.record.outlines[name].sides == (32, 28, 12)
    inside = thin.inside([name], [thin.whole(name)])[0, 0]
    assert inside.any(0).any(0).tolist() == [3 <= z < 8 for z in range(12)]
    whole = thin.load(name, thin.whole(name))
    assert not whole.foreground[~inside].any()
    assert not whole.label[~inside].any()
    counted = thin.counted([Row(name, 0, 0)], [thin.whole(name)])
    assert counted is not None
    assert torch.equal(counted[0, 0] > 0, inside)


def test_the_window_that_stands_for_a_case_shows_its_lesion(cases: CaseSet) -> None:
    for name in cases.case_ids:
        case = cases.load(name)
        assert case.image.shape[1:] == case.label.shape == (16, 16, 12)
        assert torch.equal(case.label, cases.load_label(name))
        whole = cases.load_label(name, cases.whole(name))
        assert (case.label == 2).sum() > 0.8 * min((whole == 2).sum().item(), 16 * 16 * 12)


def rows(count: int, name: str) -> list[Row]:
    return [Row(name, step, 0) for step in range(count)]


def test_windows_are_around_lesions_above_all_and_sometimes_anywhere(cases: CaseSet) -> None:
    name = cases.case_ids[0]
    boxes = cases.drawn(rows(200, name), 0, "s")
    assert boxes == cases.drawn(rows(200, name), 0, "s")
    assert boxes != cases.drawn(rows(200, name), 1, "s")
    label = cases.load_label(name, cases.whole(name))
    shown = np.array([[(label[box] == value).any() for value in (1, 2)] for box in boxes if box is not None])
    assert len(shown) == 200
    assert shown[:, 1].mean() > 0.6
    assert len({(box[0].start, box[1].start, box[2].start) for box in boxes if box is not None}) > 10
    for box in boxes:
        assert box is not None
        assert [s.stop - s.start for s in box] == [16, 16, 12]
        assert [s.start % cell for s, cell in zip(box, CELLS, strict=True)] == [0, 0, 0]
        assert all(s.start >= 0 and s.stop <= n for s, n in zip(box, GRID.shape, strict=True))


def test_a_part_is_read_as_it_lies_in_the_whole(cases: CaseSet) -> None:
    name, box = cases.case_ids[1], box_at((8, 4, 6), (16, 8, 4))
    part, whole = cases.load(name, box), cases.load(name, cases.whole(name))
    assert torch.equal(part.image, whole.image[:, *box])
    assert torch.equal(part.foreground, whole.foreground[box])
    assert torch.equal(cases.load_label(name, box), whole.label[box])


def test_latents_of_a_part_are_its_cells(tmp_path: Path) -> None:
    mean = torch.randn(1, 2, 8, 7, 12, generator=torch.Generator().manual_seed(0))
    known = cache_moments(["a"], lambda name: (mean, torch.full_like(mean, 1e-6)), {}, tmp_path)
    cache = LatentCache(known.folder, (0.0, 0.0), (1.0, 1.0), CELLS)
    part = cache.draw("a", torch.Generator(), box_at((8, 4, 6), (16, 8, 4)))
    torch.testing.assert_close(part, mean[0, :, 2:6, 1:3, 3:5], atol=1e-4, rtol=0)


@torch.no_grad()
def test_a_case_is_encoded_as_its_windows_are() -> None:
    torch.manual_seed(0)
    autoencoder = Autoencoder(1, 2, CELLS, tiny_config().autoencoder).eval()
    torch.nn.init.normal_(autoencoder.core.quant_conv_mu.conv.weight)
    image, window = torch.randn(1, 1, 32, 24, 12, generator=torch.Generator().manual_seed(0)), (16, 16, 12)
    mean, deviation = encode_in_windows(autoencoder, image, window, CELLS)
    assert mean.shape[2:] == deviation.shape[2:] == (8, 6, 6)
    alone = image[:, :, :16, :16]
    for found, expected in zip(
        encode_in_windows(autoencoder, alone, window, CELLS), autoencoder.encode(alone), strict=True
    ):
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)
    # The corner that one window alone reaches is what this window gives.
    torch.testing.assert_close(mean[:, :, :1, :1], autoencoder.encode(alone)[0][:, :, :1, :1], atol=1e-4, rtol=1e-3)


class Constant(torch.nn.Module):
    """An autoencoder that says the same of everything."""

    def forward(self, image: torch.Tensor, *others: torch.Tensor) -> tuple[torch.Tensor, ...]:
        cells = torch.ones(len(image), 1, 1, 1, 1)
        return torch.zeros_like(image), torch.zeros_like(image[:, 0]), cells, cells


def spoil(monkeypatch: pytest.MonkeyPatch, *, outside: bool) -> None:
    """From now on, cases are bright on one side of their border."""
    load = CaseSet.load

    def spoilt(self: CaseSet, name: str, box: Box | None = None) -> PreparedCase:
        case, inside = load(self, name, box), self.inside([name], [box])[0]
        return replace(case, image=torch.where(inside != outside, 9.0, case.image))

    monkeypatch.setattr(CaseSet, "load", spoilt)


def test_what_lies_outside_of_a_case_does_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = window_config()
    thin = prepare_cases(thin_dataset(tmp_path / "Dataset995_Thin", 5), 0, config, tmp_path / "cases")
    stage, batch = AutoencoderStage(thin, AutoencoderConfig.of(config, "autoencoder")), [Row(thin.case_ids[0], 0, 0)]
    segmenter = SegmenterStage(thin, SegmenterConfig.of(config, "segmenter"))

    def losses() -> list[float]:
        return [float(stage.loss(Constant(), batch, torch.device("cpu"))[0])]

    before = losses()
    with monkeypatch.context() as patched:
        spoil(patched, outside=True)
        assert losses() == before
    with monkeypatch.context() as patched:
        spoil(patched, outside=False)
        assert losses() != before
    _, label = segmenter._view(batch[0])
    assert (label == -1).any()


@pytest.fixture(scope="module")
def run(dataset: RawDataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of windows, with a segmenter that chooses its weights."""
    out = tmp_path_factory.mktemp("runs") / "x"
    for name in ("segmenter", *GENERATOR_STAGES):
        train(name, window_config(steps=2), dataset, 0, out)
    return out


def test_a_generator_of_windows_says_so(run: Path) -> None:
    description = Description.read(run / "generator")
    assert description.windows
    assert description.shape == (16, 16, 12)
    assert description.spacing_mm == (2.0, 2.0, 3.0)
    latents = load_tensors(run / "latents" / "case_00.safetensors")
    assert latents["mean"].shape[1:] == (8, 7, 12)


def test_a_generator_of_windows_makes_windows(run: Path) -> None:
    generator = Generator.load(run / "generator")
    label = torch.zeros(1, 16, 16, 12, dtype=torch.int16)
    noise = torch.randn(1, *generator.description.latent_shape, generator=torch.Generator().manual_seed(0))
    image, logit = generator.image(label, noise)
    assert image.shape == (1, 1, 16, 16, 12)
    assert torch.isfinite(image).all()
    assert torch.isfinite(logit).all()


def test_resumed_windows_are_the_same(run: Path, dataset: RawDataset, tmp_path: Path) -> None:
    again = copy_without(run, tmp_path / "x", "generator", "controlnet")
    train("controlnet", window_config(steps=2), dataset, 0, again)
    first, second = (Generator.load(folder / "generator").network.state_dict() for folder in (run, again))
    torch.testing.assert_close(first, second, atol=0, rtol=0)


def test_baselines_of_windows(dataset: RawDataset, tmp_path: Path, run: Path) -> None:
    again = copy_without(run, tmp_path / "x", "generator")
    for name in BASELINE_STAGES:
        train(name, window_config(steps=1), dataset, 0, again)
        assert Baseline.load(again / name / "export").description.shape == (16, 16, 12)
