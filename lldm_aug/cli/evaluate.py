"""``lldm-aug evaluate``: whether synthetic data are any good, and whether they help."""

from __future__ import annotations

import click


@click.group()
def evaluate() -> None:
    """Compare a pool with real cases, measure what it does for segmentation, and report both."""
