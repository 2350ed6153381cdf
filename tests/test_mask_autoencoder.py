"""The autoencoder of depth fields before any training."""

import torch

from lldm_aug.config.schema import MaskAutoencoderSettings
from lldm_aug.models.mask_model import MaskAutoencoder

SETTINGS = MaskAutoencoderSettings(channels=(8, 8), norm_groups=4, head_channels=8, latent_channels=8)


def started(fields: torch.Tensor) -> MaskAutoencoder:
    torch.manual_seed(0)
    autoencoder = MaskAutoencoder(2, (2, 2, 2), SETTINGS).eval()
    autoencoder.start(lambda: fields)
    return autoencoder


def two_structures(weaker: float) -> torch.Tensor:
    """Fields (N, 2, X, Y, Z) that change from block to block; of the second structure as many times weaker."""
    blocks = torch.randn(6, 2, 8, 8, 8, generator=torch.Generator().manual_seed(1))
    fields = blocks.repeat_interleave(2, 2).repeat_interleave(2, 3).repeat_interleave(2, 4)
    return fields * torch.tensor([0.5, 0.5 * weaker])[:, None, None, None]


@torch.no_grad()
def test_all_structures_vary_alike_in_the_latent() -> None:
    fields = two_structures(weaker=0.2)
    autoencoder = started(fields)
    alone = [torch.where(torch.arange(2).view(1, 2, 1, 1, 1) == one, fields, 0) for one in range(2)]
    first, second = (autoencoder.encode(kept)[0].var().item() for kept in alone)
    assert 0.8 < first / second < 1.25


@torch.no_grad()
def test_fields_come_back_as_strong_as_they_were() -> None:
    fields = two_structures(weaker=0.2)
    autoencoder = started(fields)
    torch.testing.assert_close(autoencoder.decode(autoencoder.encode(fields)[0]), fields, atol=1e-3, rtol=1e-3)


def test_a_structure_that_never_varies_stays_finite() -> None:
    autoencoder = started(two_structures(weaker=0.0))
    assert torch.isfinite(autoencoder.encode(two_structures(weaker=0.1))[0]).all()
