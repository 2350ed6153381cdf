"""``lldm-aug evaluate``: whether synthetic data are any good, and whether they help."""

from __future__ import annotations

import click

from lldm_aug.cli.evaluate_baselines import baselines
from lldm_aug.cli.evaluate_generator import generator
from lldm_aug.cli.evaluate_pool import pool
from lldm_aug.cli.evaluate_realism import realism
from lldm_aug.cli.evaluate_report import report
from lldm_aug.cli.evaluate_utility import utility


@click.group()
def evaluate() -> None:
    """Measure generators, pools and baselines, and whether synthetic cases help."""


for command in (baselines, generator, pool, realism, report, utility):
    evaluate.add_command(command)
