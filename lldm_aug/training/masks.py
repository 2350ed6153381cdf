"""The two passes of ``lldm-aug train masks``: an autoencoder of depth fields, and a denoiser of its latents."""

from __future__ import annotations

from pathlib import Path

from accelerate import Accelerator

from lldm_aug.config.schema import Config
from lldm_aug.data.conform import compression_for
from lldm_aug.errors import ConfigError
from lldm_aug.models.layers import Factors, lowest_cell
from lldm_aug.training.cases import CaseSet
from lldm_aug.training.export import read_export
from lldm_aug.training.mask_fields import MaskFields
from lldm_aug.training.masks_autoencoder import MasksAutoencoderStage
from lldm_aug.training.masks_diffusion import MasksDiffusionStage, cache_copies


def make_mask_stage(
    name: str, config: Config, cases: CaseSet, folder: Path, accelerator: Accelerator
) -> MasksAutoencoderStage | MasksDiffusionStage:
    """One pass.

    Args:
        name: ``masks_autoencoder`` or ``masks_diffusion``.
        config: all settings.
        cases: whose masks are learnt.
        folder: the run's ``masks``: holds ``fields``, ``latents`` and a folder a pass.
        accelerator: processes and device.

    Raises:
        ConfigError: when the grid does not suit the networks.
        CheckpointError: when the second pass lacks the first.
        IncompatibleResume: when what the folder holds was made from other cases or settings.
    """
    compression = _compression(config, cases)
    with accelerator.main_process_first():
        fields = MaskFields(cases, config.masks, config.seed, folder / "fields")
    if name == "masks_autoencoder":
        return MasksAutoencoderStage(cases, config, fields, compression)
    first = read_export(folder / "autoencoder" / "export", name)
    with accelerator.main_process_first():
        latents = cache_copies(cases, config, first, fields, accelerator.device, folder / "latents")
    return MasksDiffusionStage(cases, config, first, latents, compression)


def _compression(config: Config, cases: CaseSet) -> Factors:
    """Voxels per latent cell; refuses a grid, or crops of it, that the networks cannot halve so often."""
    record, masks = cases.record, config.masks
    compression = masks.autoencoder.compression or compression_for(record.spacing_mm)
    deepest = lowest_cell(compression, len(masks.denoiser.channels))
    if any(side % factor for side, factor in zip(record.shape, deepest, strict=True)):
        raise ConfigError(
            f"shape {record.shape} is not a multiple of {deepest}",
            where="masks.denoiser.channels",
            fix=f"{len(masks.denoiser.channels)} levels on latents that are coarser by {compression} need that",
        )
    patch = config.train.masks_autoencoder.patch or record.shape
    if any(min(side, n) % factor for side, n, factor in zip(patch, record.shape, compression, strict=True)):
        raise ConfigError(
            f"patch {patch} is not a multiple of {compression}, the voxels of a latent cell",
            where="train.masks_autoencoder.patch",
        )
    return compression
