"""Networks: exact folding, conditions, zero-initialised control, the generator folder."""

import json
import time
from pathlib import Path

import pytest
import torch
from descriptions import SMALL, description

from lldm_aug.config.schema import AutoencoderSettings, ObjectiveSettings, SamplingSettings
from lldm_aug.errors import CheckpointError
from lldm_aug.io.weights import write_sums
from lldm_aug.labels import HBP, LabelSchema
from lldm_aug.models.autoencoder import Autoencoder
from lldm_aug.models.condition import drop_structures, encode_mask
from lldm_aug.models.denoiser import ControlledDenoiser, MaskControl, build_denoiser, copy_encoder
from lldm_aug.models.description import Description
from lldm_aug.models.generator import Generator
from lldm_aug.models.layers import depth_to_space, space_to_depth


def test_a_generator_of_0_1_0_has_no_shortcut_and_does_not_say_so() -> None:
    fields = description().model_dump(mode="json")
    del fields["autoencoder"]["shortcut"]
    assert description().autoencoder.shortcut
    assert not Description.model_validate(fields).autoencoder.shortcut


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An untrained generator on disk."""
    torch.manual_seed(0)
    Generator.untrained(description()).save(tmp_path / "g", card="card")
    return tmp_path / "g"


@pytest.mark.parametrize("factors", [(2, 2, 2), (4, 2, 1), (1, 1, 1)])
def test_folding_loses_nothing(factors: tuple[int, int, int]) -> None:
    x = torch.randn(2, 3, 8, 4, 2 * factors[2])
    assert torch.equal(depth_to_space(space_to_depth(x, factors), factors), x)


def test_condition_says_present_absent_unknown_and_ignored() -> None:
    label = torch.tensor([0, 1, 2, 3]).view(1, 4, 1, 1)
    condition = encode_mask(label, LabelSchema(("liver", "hcc"), ignore=3))
    assert condition[0, :, :, 0, 0].tolist() == [[-1, 1, -1, 0], [-1, -1, 1, 0]]
    assert encode_mask(label, LabelSchema(("liver", "hcc"), ignore=3), ["hcc"])[0, 1].abs().sum() == 0


def test_dropped_structures_are_unknown() -> None:
    condition = encode_mask(torch.ones(1, 2, 2, 2, dtype=torch.long), HBP)
    kept = torch.tensor([[True, False, True, True]])
    assert drop_structures(condition, kept).abs().sum(dim=(2, 3, 4)).tolist() == [[8, 0, 8, 8]]


@pytest.mark.parametrize(
    ("compression", "shape"), [((4, 4, 4), (16, 16, 16)), ((4, 4, 1), (16, 16, 4)), ((2, 4, 2), (8, 8, 8))]
)
def test_autoencoder_shapes(compression: tuple[int, int, int], shape: tuple[int, int, int]) -> None:
    net = Autoencoder(2, 3, compression, AutoencoderSettings(latent_channels=4, channels=(16, 16), head_channels=8))
    mean, deviation = net.encode(torch.randn(1, 2, *shape))
    assert mean.shape == (1, 4, *(n // f for n, f in zip(shape, compression, strict=True)))
    assert (deviation > 0).all()
    image, logit = net.decode(mean, torch.randn(1, 3, *shape))
    assert image.shape == (1, 2, *shape)
    assert logit.shape == (1, *shape)


def test_control_changes_nothing_before_training() -> None:
    denoiser, control = build_denoiser(4, SMALL, ObjectiveSettings()), MaskControl(4, 3, (4, 4, 4), SMALL)
    copy_encoder(denoiser, control)
    x, t, mask = torch.randn(2, 4, 4, 4, 4), torch.tensor([10.0, 900.0]), torch.randn(2, 3, 16, 16, 16)
    assert torch.equal(ControlledDenoiser(denoiser, control)(x, t, mask), denoiser(x, t))


def test_mask_embedding_sees_a_single_voxel() -> None:
    control = MaskControl(4, 2, (4, 4, 4), SMALL)
    empty = -torch.ones(1, 2, 16, 16, 16)
    thin = empty.clone()
    thin[0, 1, 5, 6, 7] = 1
    changed = (control.embed(thin) - control.embed(empty)).abs().sum(1)[0]
    assert changed[1, 1, 1] > 0


@pytest.mark.parametrize(("channel", "shared"), [("CT", True), ("HBP", False)])
def test_one_scale_is_common_to_all_cases_only_where_scales_are(channel: str, shared: bool) -> None:
    """An MR generator of one training case has one scale too, and it is that case's."""
    told = description()
    told = told.model_copy(update={"dataset_json": {**told.dataset_json, "channel_names": {"0": channel}}})
    assert (told.common_scale is not None) == shared


def test_generator_folder_round_trip(folder: Path) -> None:
    label, noise = torch.ones(1, 16, 16, 8, dtype=torch.long), torch.randn(1, *description().latent_shape)
    first, second = Generator.load(folder), Generator.load(folder)
    assert first.hash == second.hash
    assert torch.equal(first.image(label, noise)[0], second.image(label, noise)[0])


@pytest.mark.parametrize(
    "name", ["config.json", "autoencoder.safetensors", "denoiser.safetensors", "controlnet.safetensors"]
)
def test_one_changed_byte_is_refused(folder: Path, name: str) -> None:
    data = bytearray((folder / name).read_bytes())
    data[len(data) // 2] ^= 1
    (folder / name).write_bytes(data)
    with pytest.raises(CheckpointError, match=f"{name}: has changed"):
        Generator.load(folder)


def test_missing_file_is_refused(folder: Path) -> None:
    (folder / "denoiser.safetensors").unlink()
    with pytest.raises(CheckpointError, match="denoiser"):
        Generator.load(folder)


def test_half_precision_weights_halve_the_folder(folder: Path, tmp_path: Path) -> None:
    Generator.load(folder).save(tmp_path / "half", torch.float16, card="card")
    sizes = [sum(p.stat().st_size for p in f.glob("*.safetensors")) for f in (folder, tmp_path / "half")]
    assert sizes[1] < 0.6 * sizes[0]
    assert next(Generator.load(tmp_path / "half").network.parameters()).dtype == torch.float32


def test_guidance_of_one_equals_none_and_more_changes_the_image(folder: Path) -> None:
    generator = Generator.load(folder)
    with torch.no_grad():  # an untrained network's output is zero: give it something to say
        for p in generator.network.parameters():
            p.add_(0.05 * torch.randn(p.shape, generator=torch.Generator().manual_seed(0)))
    label, noise = torch.ones(1, 16, 16, 8, dtype=torch.long), torch.randn(1, *description().latent_shape)
    plain = generator.image(label, noise, SamplingSettings(steps=2))[0]
    nearly = generator.image(label, noise, SamplingSettings(steps=2, guidance=1.0 + 1e-6))[0]
    strong = generator.image(label, noise, SamplingSettings(steps=2, guidance=3))[0]
    torch.testing.assert_close(plain, nearly, atol=1e-3, rtol=0)
    assert (plain - strong).abs().max() > 1e-3


def tampered(folder: Path, **changes: object) -> Path:
    """The folder with another description, and hashes that agree with it."""
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | changes))
    write_sums(folder)
    return folder


@pytest.mark.parametrize(
    "changes",
    [
        {"compression": [0, 4, 2]},
        {"shape": [18, 16, 8]},
        {"latent_std": [1.0]},
        {"spacing_mm": [4, 4, -1]},
        {"dataset_json": {"labels": HBP.to_dataset_json()}},
        {"sampling": {"solver": "ddpm", "steps": 5, "guidance": 1}},
        {"format_version": 2},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_contradictory_description_is_refused(folder: Path, changes: dict[str, object]) -> None:
    with pytest.raises(CheckpointError, match=r"config\.json"):
        Generator.load(tampered(folder, **changes))


def test_enormous_network_is_refused_before_it_takes_memory(folder: Path) -> None:
    widths = {"channels": [4096] * 2, "attention": [False, True], "num_res_blocks": 8, "mask_channels": 1024}
    began = time.perf_counter()
    with pytest.raises(CheckpointError, match=r"do not fit|not \("):  # 100 GB of weights, if they were made
        Generator.load(tampered(folder, denoiser=SMALL.model_dump(mode="json") | widths))
    assert time.perf_counter() - began < 20


def test_file_that_the_hashes_do_not_cover_is_refused(folder: Path) -> None:
    (folder / "SHA256SUMS").write_text("")
    with pytest.raises(CheckpointError, match="does not name"):
        Generator.load(folder)
