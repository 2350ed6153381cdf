"""From a generator, masks and a seed to synthetic cases."""
