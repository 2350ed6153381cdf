"""A pool: generated images and masks on disk with a manifest; the one thing that the outside sees."""
