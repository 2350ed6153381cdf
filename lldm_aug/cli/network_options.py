"""Options that say which networks' features are compared, as decorators."""

from __future__ import annotations

from pathlib import Path

import click

from lldm_aug.evaluation.measure.feature_networks import NETWORKS, OWN_WEIGHTS

networks_option = click.option(
    "--network",
    "networks",
    type=click.Choice(NETWORKS),
    multiple=True,
    default=[OWN_WEIGHTS],
    help="Feature network for FID and KID; may be repeated.",
)
weights_option = click.option(
    "--weights",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    multiple=True,
    help="File with the weights of a network other than effnet; may be repeated, in the order of --network.",
)
