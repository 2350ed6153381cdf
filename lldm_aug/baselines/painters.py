"""The painter that a description speaks of."""

from __future__ import annotations

from collections.abc import Callable

from lldm_aug.baselines.description import BaselineDescription
from lldm_aug.baselines.gan_networks import FINEST, GanGenerator
from lldm_aug.baselines.latent_network import LatentDenoiser, LatentPainter
from lldm_aug.baselines.painter import Painter
from lldm_aug.baselines.pixel_network import PixelDenoiser
from lldm_aug.data.conform import compression_for
from lldm_aug.models.autoencoder import Autoencoder


def untrained(description: BaselineDescription) -> Painter:
    """Networks of the right sizes, weights as initialised."""
    painters: dict[str, Callable[[BaselineDescription], Painter]] = {
        "baseline_gan": _gan,
        "baseline_pixel": _pixel,
        "baseline_latent": _latent,
    }
    return painters[description.kind](description)


def _gan(d: BaselineDescription) -> Painter:
    stem = compression_for(d.spacing_mm, FINEST)
    return GanGenerator(d.num_channels + 1, len(d.labels.names), stem, d.config.baselines.gan)


def _pixel(d: BaselineDescription) -> Painter:
    settings = d.config.baselines.pixel
    stem = compression_for(d.spacing_mm, settings.patch)
    return PixelDenoiser(d.num_channels + 1, len(d.labels.names), stem, settings, d.config.objective)


def _latent(d: BaselineDescription) -> Painter:
    structures = len(d.labels.names)
    autoencoder = Autoencoder(d.num_channels, structures, d.compression, d.config.autoencoder)
    denoiser = LatentDenoiser(structures, d.compression, d.config)
    return LatentPainter(autoencoder, denoiser, d.latent_mean, d.latent_std, d.config.objective)
