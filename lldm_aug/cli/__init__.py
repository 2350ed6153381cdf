"""The command line. It holds no logic and imports a command's module only when that command runs."""

from __future__ import annotations

import click

from lldm_aug.cli.lazy import LazyGroup
from lldm_aug.version import __version__

COMMANDS = {
    "demo": ("lldm_aug.cli.demo:demo", "Run the whole chain on the embedded generator, in minutes, on a CPU."),
    "phantom": ("lldm_aug.cli.phantom:phantom", "Write a data set of digital liver phantoms in nnU-Net's raw layout."),
    "train": ("lldm_aug.cli.train:train", "Train one stage of a generator on the training cases of a fold."),
    "generate": ("lldm_aug.cli.generate:generate", "Write a pool of synthetic images with their masks."),
    "pool": ("lldm_aug.cli.pool:pool", "Verify, show or merge pools of synthetic cases."),
    "nnunet": ("lldm_aug.cli.nnunet:nnunet", "Prepare a pool for nnU-Net training with a data set's plans."),
    "export": (
        "lldm_aug.cli.export:export",
        "Copy nnU-Net models trained on a blend, so that nnU-Net alone can use them.",
    ),
    "bench": ("lldm_aug.cli.bench:bench", "Time blending and inpainting."),
    "evaluate": (
        "lldm_aug.cli.evaluate:evaluate",
        "Measure generators, pools and baselines, and whether synthetic cases help.",
    ),
    "doctor": ("lldm_aug.cli.doctor:doctor", "Check this installation and say what is missing."),
}
"""Name of each command: where it is, and its line in the list of commands."""

CONTEXT = {"help_option_names": ["-h", "--help"], "show_default": True, "max_content_width": 110}


@click.group(cls=LazyGroup, commands_table=COMMANDS, context_settings=CONTEXT)
@click.version_option(__version__, "--version", prog_name="lldm-aug")
def main() -> None:
    """Label-guided 3D latent diffusion that makes liver MR volumes with masks for segmentation training.

    \b
    Examples:
      lldm-aug demo
      lldm-aug generate --n 500 --out pools/first
      lldm-aug nnunet prepare -d 700 --pool pools/first
      nnUNetv2_train 700 3d_fullres 0 -tr nnUNetTrainerLLDMAug
    """
