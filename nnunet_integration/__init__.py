"""nnU-Net with synthetic cases blended in: preparation of a pool, data set, loader, trainer. Arrays are (C, Z, Y, X)."""
