"""Label-guided 3D latent diffusion that makes liver MR volumes with masks, and blends them into segmentation training."""

__version__ = "0.1.0"
