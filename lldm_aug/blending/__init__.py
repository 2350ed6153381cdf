"""Real and synthetic cases in one stream: exact ratios, no leaks."""
