"""``lldm-aug evaluate fidelity``: a pool compared with real cases that its generator has not seen."""
