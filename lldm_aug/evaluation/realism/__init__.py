"""``lldm-aug evaluate realism``: whether lesions that were painted into real images can be told from real ones."""

STEPS = 240
"""Of the training of each network that tells them apart."""
