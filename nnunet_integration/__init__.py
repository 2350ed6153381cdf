"""nnU-Net with synthetic cases blended in: preparing a pool, data set, loader, trainer. Arrays are (C, Z, Y, X)."""
