"""A generator: one folder with ``config.json``, safetensors and hashes; label in, image out."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from lldm_aug.config.schema import SamplingSettings
from lldm_aug.diffusion.sampler import Known, guided, sample
from lldm_aug.io.atomic import atomic_folder
from lldm_aug.models.autoencoder import Autoencoder
from lldm_aug.models.condition import encode_mask
from lldm_aug.models.denoiser import ControlledDenoiser, MaskControl, build_denoiser
from lldm_aug.models.description import Description
from lldm_aug.models.surroundings import filled, touched_cells, with_surroundings, without_surroundings
from lldm_aug.models.trained_model import TrainedModel

AUTOENCODER_FILE = "autoencoder.safetensors"
DENOISER_FILE = "denoiser.safetensors"
CONTROL_FILE = "controlnet.safetensors"


@dataclass(frozen=True)
class Generator(TrainedModel):
    """A trained generator.

    Args:
        description: everything but the weights.
        autoencoder: latents to images.
        network: noise to latents.
    """

    described_by = Description

    description: Description
    autoencoder: Autoencoder
    network: ControlledDenoiser

    @classmethod
    def untrained(cls, description: Description) -> Generator:
        """Networks of the right sizes, weights as initialised."""
        structures = len(description.labels.names)
        autoencoder = Autoencoder(
            description.num_channels, structures, description.compression, description.autoencoder
        )
        channels = description.autoencoder.latents
        told = description.condition_channels
        control = MaskControl(channels, told, description.compression, description.denoiser)
        denoiser = build_denoiser(channels, description.denoiser, description.objective)
        return cls(description, autoencoder, ControlledDenoiser(denoiser, control))

    @property
    def networks(self) -> dict[str, nn.Module]:
        """See `TrainedModel`."""
        return {
            AUTOENCODER_FILE: self.autoencoder,
            DENOISER_FILE: self.network.denoiser,
            CONTROL_FILE: self.network.control,
        }

    def save(
        self,
        folder: Path,
        dtype: torch.dtype | None = None,
        *,
        card: str = "",
        parts: Mapping[str, Path] | None = None,
    ) -> None:
        """Writes the folder atomically, with a model card.

        Args:
            folder: where; an older generator there is replaced.
            dtype: type of the stored weights; half precision halves the size.
            card: Markdown text of the model card (``README.md``).
            parts: folders to copy into sub-folders of these names, such as the run's segmenter.
        """
        with atomic_folder(folder) as temporary:
            self.write(temporary, dtype)
            (temporary / "README.md").write_text(card, encoding="utf-8")
            for name, part in (parts or {}).items():
                shutil.copytree(part, temporary / name)

    @torch.inference_mode()
    def image(
        self,
        label: torch.Tensor,
        noise: torch.Tensor,
        sampling: SamplingSettings | None = None,
        rng: torch.Generator | None = None,
        unknown: tuple[str, ...] = (),
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Images for masks.

        Args:
            label: (B, X, Y, Z) integers on the generator's grid.
            noise: (B, L, x, y, z) standard normal, the latent shape.
            sampling: solver, steps and guidance; None for those of the description.
            rng: fresh noise of the ancestral solver.
            unknown: structures that the image may or may not show.

        Returns:
            Scaled images (B, C, X, Y, Z), and logits (B, X, Y, Z) below 0 where a voxel should be exactly zero.
        """
        condition = encode_mask(label.to(self.device), self.description.labels, unknown)
        latent = self.latent(condition, noise.to(self.device), sampling or self.description.sampling, rng)
        return self.autoencoder.decode(self.denormalise(latent), condition)

    @torch.inference_mode()
    def inpaint(
        self,
        label: torch.Tensor,
        image: torch.Tensor,
        region: torch.Tensor,
        noise: torch.Tensor,
        sampling: SamplingSettings | None = None,
        rng: torch.Generator | None = None,
        unknown: tuple[str, ...] = (),
        strength: float = 1.0,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Paints a region of images anew for masks. Around the region the result is the autoencoder's reconstruction.

        Latent cells that hold no voxel of the region are kept from the image. It is encoded with the region filled
        smoothly, so that nothing of what the region held can shine through.

        Args:
            label: (B, X, Y, Z) integers on the generator's grid.
            image: (B, C, X, Y, Z) scaled.
            region: (B, X, Y, Z) booleans, True where voxels are painted.
            noise: (B, L, x, y, z) standard normal, the latent shape.
            sampling: solver, steps and guidance; None for those of the description.
            rng: fresh noise of the ancestral solver.
            unknown: structures that the image may or may not show.
            strength: at 1 the region starts from noise alone; below, from its old appearance with so much noise.

        Returns:
            As `image`.
        """
        label, image, region = (tensor.to(self.device) for tensor in (label, image, region))
        condition = encode_mask(label, self.description.labels, unknown)
        around = self.normalise(self.autoencoder.encode(filled(image, region))[0])
        cells = touched_cells(region, self.description.compression)
        before = self.normalise(self.autoencoder.encode(image)[0]) if strength < 1 else around
        known = Known(torch.where(cells, before, around), ~cells, strength)
        told = with_surroundings(condition, image, region) if self.description.inpainting else condition
        latent = self.latent(told, noise.to(self.device), sampling or self.description.sampling, rng, known)
        return self.autoencoder.decode(self.denormalise(latent), condition)

    def latent(
        self,
        condition: torch.Tensor,
        noise: torch.Tensor,
        sampling: SamplingSettings,
        rng: torch.Generator | None = None,
        known: Known | None = None,
    ) -> torch.Tensor:
        """Normalised latents for conditions, guided if asked for.

        Args:
            condition: (B, S, X, Y, Z) of a mask alone, or with what is around a region (see `with_surroundings`).
            noise: (B, L, x, y, z) standard normal.
            sampling: solver, steps and guidance.
            rng: fresh noise of the ancestral solver.
            known: the part of the latents that is known.
        """
        structures = len(self.description.labels.names)
        if condition.shape[1] < self.description.condition_channels:
            condition = without_surroundings(condition, self.description.num_channels)
        embedding, withheld = self.network.control.embed(condition), None
        if sampling.guidance != 1:
            without_mask = torch.cat([torch.zeros_like(condition[:, :structures]), condition[:, structures:]], dim=1)
            withheld = self.network.control.embed(without_mask)
        predict = guided(self.network.step, embedding, withheld, sampling.guidance)
        return sample(predict, noise, self.description.objective, sampling, rng, known)

    def normalise(self, latent: torch.Tensor) -> torch.Tensor:
        """The inverse of `denormalise`."""
        mean, std = self._moments(latent.device)
        return (latent - mean) / std

    def denormalise(self, latent: torch.Tensor) -> torch.Tensor:
        """Latents in the autoencoder's own units."""
        mean, std = self._moments(latent.device)
        return latent * std + mean

    def _moments(self, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
        shape = (1, -1, 1, 1, 1)
        moments = self.description.latent_mean, self.description.latent_std
        mean, std = (torch.tensor(values, device=device).view(shape) for values in moments)
        return mean, std
