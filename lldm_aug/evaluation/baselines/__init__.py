"""``lldm-aug bench fidelity``: the generator and its baselines, trained for as long, on the same cases and masks."""
