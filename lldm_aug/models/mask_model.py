"""A generative model of masks: a folder with ``config.json``, safetensors and hashes; noise in, distances out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from monai.networks.nets.diffusion_model_unet import DiffusionModelUNet

from lldm_aug.diffusion.sampler import sample
from lldm_aug.io.atomic import atomic_folder
from lldm_aug.io.weights import check_sums, load_weights
from lldm_aug.models.denoiser import build_denoiser
from lldm_aug.models.mask_autoencoder import MaskAutoencoder
from lldm_aug.models.mask_description import DENOISER_FILE, MaskDescription, read_mask_description
from lldm_aug.models.onednn import prefer_onednn
from lldm_aug.models.saving import write_model

AUTOENCODER_FILE = "mask_autoencoder.safetensors"


@dataclass(frozen=True)
class MaskModel:
    """A trained mask model.

    Args:
        description: everything but the weights.
        autoencoder: latents to depth fields.
        denoiser: noise to latents.
        hash: identity of the folder that it was loaded from.
    """

    description: MaskDescription
    autoencoder: MaskAutoencoder
    denoiser: DiffusionModelUNet
    hash: str = ""

    @classmethod
    def untrained(cls, description: MaskDescription) -> MaskModel:
        """Networks of the right sizes, weights as initialised."""
        d = description
        autoencoder = MaskAutoencoder(len(d.labels.names), d.compression, d.autoencoder)
        return cls(d, autoencoder, build_denoiser(d.autoencoder.latents, d.denoiser, d.objective))

    @classmethod
    def load(cls, folder: Path) -> MaskModel:
        """Loads and checks a mask model's folder.

        Raises:
            CheckpointError: when a file is missing, has changed by a byte, or does not fit.
        """
        identity = check_sums(folder)
        with torch.device("meta"):  # takes no memory, whatever the description asks for
            empty = cls.untrained(read_mask_description(folder))
        load_weights(empty.autoencoder, folder / AUTOENCODER_FILE)
        load_weights(empty.denoiser, folder / DENOISER_FILE)
        prefer_onednn(empty.autoencoder)
        prefer_onednn(empty.denoiser)
        return cls(empty.description, empty.autoencoder.eval(), empty.denoiser.eval(), identity)

    def save(self, folder: Path, dtype: torch.dtype | None = None) -> None:
        """Writes the folder atomically.

        Args:
            folder: where; an older mask model there is replaced.
            dtype: type of the stored weights; half precision halves the size.
        """
        networks = {AUTOENCODER_FILE: self.autoencoder, DENOISER_FILE: self.denoiser}
        with atomic_folder(folder) as temporary:
            write_model(temporary, self.description, networks, dtype)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.autoencoder.parameters()).device

    def to(self, device: torch.device | str) -> MaskModel:
        """Moves the weights in place; returns itself."""
        self.autoencoder.to(device)
        self.denoiser.to(device)
        return self

    @torch.inference_mode()
    def depths_mm(self, noise: torch.Tensor, rng: torch.Generator | None = None) -> torch.Tensor:
        """Depth fields (B, S, X, Y, Z) in millimetres for standard normal noise (B, L, x, y, z).

        Args:
            noise: decides the masks.
            rng: fresh noise of the ancestral solver.
        """
        d = self.description
        latent = sample(self.denoiser, noise, d.objective, d.sampling, rng)
        mean, std = (torch.tensor(v, device=latent.device).view(1, -1, 1, 1, 1) for v in (d.latent_mean, d.latent_std))
        return self.autoencoder.decode(latent * std + mean) * d.reach_mm
