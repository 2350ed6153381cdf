"""How good a segmentation, or a pool, is."""
