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
    """Measure a generator, a pool, baselines, or what synthetic cases do for segmentation, and report on all."""


for command in (baselines, generator, pool, realism, report, utility):
    evaluate.add_command(command)
