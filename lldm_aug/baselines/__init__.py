"""What the generator is compared with: a GAN, diffusion of voxels, and latent diffusion without a ControlNet."""
