"""``lldm-aug evaluate``: whether synthetic data are any good, and whether they help."""

from __future__ import annotations

import click

from lldm_aug.cli.evaluate_fidelity import fidelity
from lldm_aug.cli.evaluate_realism import realism
from lldm_aug.cli.evaluate_report import report
from lldm_aug.cli.evaluate_utility import utility


@click.group()
def evaluate() -> None:
    """Compare a pool with real cases, measure what it does for segmentation, and report both."""


evaluate.add_command(fidelity)
evaluate.add_command(realism)
evaluate.add_command(report)
evaluate.add_command(utility)
