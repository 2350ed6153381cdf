"""What a trained generator does on the device: the same as on the CPU, within bounds, and it gives its memory back."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from pools import DATASET_JSON, GRID, blob_case

from gpu.trained import Trained
from lldm_aug import Inpaint
from lldm_aug.cli import main
from lldm_aug.config.schema import ObjectiveSettings, SamplingSettings
from lldm_aug.data.raw import Case
from lldm_aug.diffusion.sampler import sample
from lldm_aug.inpainting.diffusion_inpainter import DiffusionInpainter
from lldm_aug.io.nifti import read_image, read_label
from lldm_aug.labels import LabelSchema
from lldm_aug.models.generator import Generator
from lldm_aug.models.mask_model import MaskModel
from lldm_aug.models.segmenter import Segmenter
from lldm_aug.pool.manifest import read_cases
from lldm_aug.pool.pool_dataset import verify_pool
from lldm_aug.synthesis.generation_plan import request_masks
from lldm_aug.synthesis.synthetic_case import make_case
from lldm_aug.training.latents import encode_in_windows

SAME = 1e-3
"""Largest difference of scaled images (-1 to 1) without TF32; that of depths as a share of how far they reach."""
SAME_TF32 = 5e-2
"""Likewise, as cuDNN computes unless told otherwise."""
SAME_SHARE = 0.995
"""Of voxels whose label or intensity (within 1 % of the range) agrees: at a threshold rounding decides."""
SCHEMA = LabelSchema.from_dataset_json(DATASET_JSON)
ALL = 1.0
Note = Callable[[str, object], None]
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def both(trained: Trained, device: torch.device) -> tuple[Generator, Generator]:
    """The generator on the CPU, and on the device."""
    folder = trained.until("controlnet")
    return Generator.load(folder), Generator.load(folder).to(device)


def inputs(generator: Generator) -> tuple[torch.Tensor, ...]:
    """Two masks, images, regions and noise, on the CPU."""
    description, rng = generator.description, torch.Generator().manual_seed(0)
    label = torch.zeros(2, *description.shape, dtype=torch.int16)
    label[:, 2:14, 2:14, 2:10] = 1
    label[1, 5:9, 5:9, 4:8] = 2
    region = torch.zeros(2, *description.shape, dtype=torch.bool)
    region[:, 4:10, 4:10, 3:9] = True
    image = torch.randn(2, description.num_channels, *description.shape, generator=rng)
    return label, image, region, torch.randn(2, *description.latent_shape, generator=rng)


def apart(found: torch.Tensor, expected: torch.Tensor) -> float:
    """The largest difference; what was expected is not the same everywhere."""
    assert expected.std() > 0
    return float((found.detach().cpu() - expected).abs().max())


def share_alike(found: np.ndarray, expected: np.ndarray) -> float:
    """Share of voxels that agree to 1 % of the expected range."""
    return float((np.abs(found - expected) <= 0.01 * np.ptp(expected)).mean())


@pytest.mark.parametrize("solver", ["unipc", "dpmpp", "euler"])
@pytest.mark.parametrize("guidance", [1.0, 2.0])
def test_images(
    both: tuple[Generator, Generator],
    device: torch.device,
    full_precision: None,
    record_property: Note,
    solver: str,
    guidance: float,
) -> None:
    host, there = both
    label, _, _, noise = inputs(host)
    sampling = SamplingSettings(solver=solver, steps=3, guidance=guidance)
    expected, found = host.image(label, noise, sampling), there.image(label, noise, sampling)
    assert {part.device.type for part in found} == {device.type}
    record_property("apart", apart(found[0], expected[0]))
    assert apart(found[0], expected[0]) < SAME
    assert apart(found[1], expected[1]) < SAME


def test_images_as_cudnn_rounds_them(both: tuple[Generator, Generator], record_property: Note) -> None:
    host, there = both
    label, _, _, noise = inputs(host)
    difference = apart(there.image(label, noise)[0], host.image(label, noise)[0])
    record_property("apart", difference)
    assert difference < SAME_TF32


def test_the_ancestral_solver_draws_the_same_noise(device: torch.device) -> None:
    noise = torch.randn(1, 2, 4, 4, 4, generator=torch.Generator().manual_seed(1))
    objective, sampling = ObjectiveSettings(kind="ddpm"), SamplingSettings(solver="ddpm", steps=5)

    def drawn(place: torch.device) -> torch.Tensor:
        rng = torch.Generator().manual_seed(2)
        return sample(lambda x, t: 0.5 * x, noise.to(place), objective, sampling, rng).cpu()

    assert apart(drawn(device), drawn(CPU)) < SAME


@pytest.mark.parametrize("strength", [1.0, 0.5])
def test_regions_are_painted_alike(
    both: tuple[Generator, Generator], full_precision: None, record_property: Note, strength: float
) -> None:
    host, there = both
    label, image, region, noise = inputs(host)
    found, expected = (g.inpaint(label, image, region, noise, strength=strength)[0] for g in (there, host))
    record_property("apart", apart(found, expected))
    assert apart(found, expected) < SAME
    assert apart(expected, host.image(label, noise)[0]) > SAME  # it does look at the image


def test_latents_from_windows(both: tuple[Generator, Generator], device: torch.device, full_precision: None) -> None:
    host, there = both
    description = host.description
    image = torch.randn(1, 1, 32, 28, 24, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        found, expected = (
            encode_in_windows(g.autoencoder, image.to(g.device), description.shape, description.compression)
            for g in (there, host)
        )
        assert apart(found[0], expected[0]) < SAME
        whole = there.autoencoder.encode(image.to(device))[0].cpu()
        tile = encode_in_windows(there.autoencoder, image.to(device), (32, 28, 24), description.compression)[0]
    assert apart(tile, whole) < SAME  # one window is the whole


def test_hosts_are_painted_alike_and_kept_outside(
    both: tuple[Generator, Generator], full_precision: None, record_property: Note
) -> None:
    image, label = blob_case(0, 0)
    host = Case("case_00", image[None], label, GRID)
    region = np.zeros(label.shape, bool)
    region[6:26, 8:20, 6:18] = True  # of several windows
    inpainters = [DiffusionInpainter(g, SCHEMA, g.description.sampling, tissues=("liver",)) for g in both]
    expected, found = (inpainter.inpaint(host, label, region, 3).image for inpainter in inpainters)
    assert np.array_equal(found[:, ~region], host.image[:, ~region])
    assert (found[:, region] != host.image[:, region]).mean() > 0.5
    record_property("alike", share_alike(found[:, region], expected[:, region]))
    assert share_alike(found[:, region], expected[:, region]) > SAME_SHARE


def test_samples_are_edited_alike_in_memory(trained: Trained, device: torch.device) -> None:
    folder = trained.until("controlnet")
    image, label = blob_case(0, 1)
    host = Case("case_01", image[None], label, GRID)
    edited = [Inpaint(folder, SCHEMA, probability=ALL, seed=1, device=str(d))(host, item=0) for d in (CPU, device)]
    expected, found = edited
    changed = found.label != label
    assert changed.any()
    assert np.array_equal(found.label, expected.label)
    outside = (expected.image == host.image).all(axis=0) & (found.image == host.image).all(axis=0)
    assert not outside[changed].any()
    assert outside.sum() > changed.sum()
    assert share_alike(found.image, expected.image) > SAME_SHARE


def test_pools(trained: Trained, both: tuple[Generator, Generator], tmp_path_factory: pytest.TempPathFactory) -> None:
    """The command's pairs, made where the networks are put by default, are those of the CPU."""
    out, data = tmp_path_factory.mktemp("pools") / "p", str(trained.dataset.folder)
    line = ["generate", "--model", str(trained.folder), "--data", data, "--fold", "0", "--n", "2", "--out", str(out)]
    result = CliRunner().invoke(main, line)
    assert result.exit_code == 0, result.output
    assert verify_pool(out) == 2
    host = both[0]
    source = request_masks(host.description, "deformed", data, 0).source(host.description)
    for case in read_cases(out).values():
        expected = make_case(host, source, host.description.sampling, 0, case.index)
        found = read_image(out / "images" / f"{case.case_id}_0000.nii.gz").data
        assert np.array_equal(read_label(out / "labels" / f"{case.case_id}.nii.gz").data, expected.label)
        assert share_alike(found, expected.image[0]) > SAME_SHARE


def test_the_filter_judges_on_the_device(trained: Trained, device: torch.device, full_precision: None) -> None:
    folder = trained.until("controlnet") / "segmenter"
    image = torch.from_numpy(blob_case(0, 2)[0])[None, None] / 100 - 1
    found, expected = (Segmenter.load(folder).to(place).segment(image) for place in (device, CPU))
    assert found.device.type == device.type
    assert float((found.cpu() == expected).float().mean()) > SAME_SHARE


def test_new_masks(trained: Trained, device: torch.device, full_precision: None, record_property: Note) -> None:
    folder = trained.until("controlnet") / "masks"
    models = [MaskModel.load(folder).to(place) for place in (device, CPU)]
    noise = torch.randn(1, *models[0].description.latent_shape, generator=torch.Generator().manual_seed(0))
    found, expected = (model.depths_mm(noise.to(model.device)) for model in models)
    record_property("apart", apart(found, expected) / models[0].description.reach_mm)
    assert apart(found, expected) < SAME * models[0].description.reach_mm


def live(device: torch.device) -> int:
    """Bytes in use on a CUDA device; on the CPU the number of tensors that are alive."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.synchronize()
        return torch.cuda.memory_allocated()
    return sum(issubclass(type(thing), torch.Tensor) for thing in gc.get_objects())


def test_memory_is_given_back(trained: Trained, device: torch.device, record_property: Note) -> None:
    folder = trained.until("controlnet")

    def use() -> tuple[int, int, list[weakref.ref[torch.nn.Module]]]:
        """What is in use after one image, and after three more."""
        generator = Generator.load(folder).to(device)
        label, image, region, noise = inputs(generator)
        amounts = []
        for times in (1, 3):
            for _ in range(times):
                generator.image(label, noise)
                generator.inpaint(label, image, region, noise)
            amounts.append(live(device))
        return amounts[0], amounts[1], [weakref.ref(generator.network), weakref.ref(generator.autoencoder)]

    use()  # libraries keep a workspace from their first call on
    before = live(device)
    first, later, networks = use()
    record_property("in_use", first - before)
    assert first > before
    assert later == first
    assert live(device) == before
    assert [network() for network in networks] == [None, None]
