"""The best linear code of blocks, and autoencoders that start as it."""

import pytest
import torch

from lldm_aug.config.schema import AutoencoderSettings
from lldm_aug.models.autoencoder import Autoencoder, LinearCode
from lldm_aug.models.layers import space_to_depth

FACTORS = (2, 2, 1)


def volumes(channels: int = 2) -> list[torch.Tensor]:
    """Correlated noise: neighbours share a part."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.randn(3, channels, 4, 5, 6, generator=generator).repeat_interleave(2, 2).repeat_interleave(2, 3)
    return list(3 + coarse + 0.3 * torch.randn(coarse.shape, generator=generator))


def blocks(images: torch.Tensor) -> torch.Tensor:
    """All blocks (N, 8)."""
    return space_to_depth(images, FACTORS).flatten(2).transpose(1, 2).flatten(0, 1)


@torch.no_grad()
def test_latents_have_mean_zero_and_all_channels_about_variance_one() -> None:
    """No channel holds the brightness of a block alone."""
    code = LinearCode(2, 5, FACTORS)
    code.fit(volumes())
    latents = code.encode(torch.stack(volumes())).transpose(0, 1).flatten(1)
    torch.testing.assert_close(latents.mean(1), torch.zeros(5), atol=1e-4, rtol=0)
    variances = latents.var(1, correction=0)
    torch.testing.assert_close(variances.mean(), torch.tensor(1.0), atol=1e-3, rtol=0)
    assert 0.2 < variances.min() <= variances.max() < 2.5


@torch.no_grad()
@pytest.mark.parametrize("kept", [1, 3, 8])
def test_the_error_is_what_the_left_out_components_hold(kept: int) -> None:
    """The closed form of principal components: the smallest error that a linear code can have."""
    images = torch.stack(volumes())
    code = LinearCode(2, kept, FACTORS)
    code.fit(volumes())
    error = (code.decode(code.encode(images)) - images).square().mean() * 8
    variances = torch.linalg.eigvalsh(torch.cov(blocks(images).T.double(), correction=0))
    torch.testing.assert_close(error.double(), variances[: 8 - kept].sum(), atol=1e-5, rtol=1e-3)


@torch.no_grad()
def test_channels_beyond_the_components_stay_silent() -> None:
    """A latent that is wider than a block."""
    code = LinearCode(2, 11, FACTORS)
    code.fit(volumes())
    images = torch.stack(volumes())
    torch.testing.assert_close(code.decode(code.encode(images)), images, atol=1e-3, rtol=1e-3)
    assert code.encode(images)[:, 8:].abs().max() == 0


@torch.no_grad()
@pytest.mark.parametrize("mask_aware", [True, False])
def test_an_autoencoder_starts_as_the_linear_code(mask_aware: bool) -> None:
    """Whatever its networks' random weights."""
    settings = AutoencoderSettings(channels=(16, 16), head_channels=16, mask_aware=mask_aware, shortcut=True)
    autoencoder = Autoencoder(2, 3, FACTORS, settings)
    autoencoder.start_linear(volumes())
    images = torch.stack(volumes())
    condition = torch.ones(3, 3, *images.shape[2:])
    mean, deviation = autoencoder.encode(images)
    code = autoencoder.shortcut
    assert code is not None
    torch.testing.assert_close(mean, code.encode(images))
    torch.testing.assert_close(autoencoder.decode(mean, condition)[0], code.decode(mean))
    assert 0.005 < deviation.min() <= deviation.max() < 0.05


def test_without_a_shortcut_nothing_is_started() -> None:
    """The setting turns it off."""
    settings = AutoencoderSettings(channels=(16, 16), head_channels=16, shortcut=False)
    autoencoder = Autoencoder(2, 3, FACTORS, settings)
    before = {name: tensor.clone() for name, tensor in autoencoder.state_dict().items()}
    autoencoder.start_linear(volumes())
    assert not any("shortcut" in name for name in before)
    assert all(torch.equal(tensor, before[name]) for name, tensor in autoencoder.state_dict().items())


@pytest.mark.parametrize(
    ("compression", "channels", "expected"),
    [
        ((4, 4, 4), 1, 16),
        ((4, 4, 2), 1, 8),
        ((4, 4, 1), 1, 4),
        ((4, 4, 1), 3, 12),
        ((1, 1, 1), 1, 1),
        ((8, 8, 8), 2, 64),
    ],
)
def test_latents_are_a_quarter_of_the_numbers_of_a_cell(
    compression: tuple[int, int, int], channels: int, expected: int
) -> None:
    """Thick slices have small cells; a number that is asked for stays."""
    assert AutoencoderSettings().resolved(compression, channels).latents == expected
    assert AutoencoderSettings(latent_channels=5).resolved(compression, channels).latents == 5
    with pytest.raises(ValueError, match="left open"):
        _ = AutoencoderSettings().latents
