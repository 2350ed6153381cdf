"""One Accelerate loop for all stages: autoencoder, diffusion, ControlNet."""
