"""``lldm-aug export``."""

from __future__ import annotations

from pathlib import Path

import click

from lldm_aug.cli.options import EXISTING_FOLDER, NEW_FOLDER


@click.group()
def export() -> None:
    """Copy nnU-Net models that were trained on a blend, so that nnU-Net alone can use them."""


@export.command("nnunet-plain")
@click.argument("model", type=EXISTING_FOLDER)
@click.option("--out", type=NEW_FOLDER, required=True, help="A results folder of nnU-Net's layout.")
def nnunet_plain(model: Path, out: Path) -> None:
    """Copy a model that was trained with a blend, so that nnU-Net alone predicts the same with it, voxel for voxel.

    MODEL is the folder of all folds, such as
    nnUNet_results/Dataset700_X/nnUNetTrainerLLDMAug__nnUNetPlans__3d_fullres.

    \b
    Example:
      lldm-aug export nnunet-plain MODEL --out plain_results
      nnUNet_results=plain_results nnUNetv2_predict -d 700 -c 3d_fullres -f 0 -i IN -o OUT
    """
    from nnunet_integration.plain import export_plain

    click.echo(export_plain(model, out))
