"""``lldm-aug evaluate baselines``: the generator and its baselines, trained for as long on the same cases."""
