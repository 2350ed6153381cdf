"""Options that several commands share, as decorators."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from lldm_aug.errors import LldmAugError

if TYPE_CHECKING:
    from lldm_aug.data.splits import Fold


class FoldType(click.ParamType[Any]):
    """A fold number, or ``all``."""

    name = "fold"

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        """How help shows the value."""
        return "N|all"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Fold:
        """``"0"`` to 0, ``"all"`` to ``"all"``; anything else is a usage error."""
        from lldm_aug.data.splits import parse_fold

        try:
            return parse_fold(str(value))
        except LldmAugError as error:
            self.fail(error.what, param, ctx)


class FoldsType(click.ParamType[Any]):
    """Several fold numbers."""

    name = "folds"

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        """How help shows the value."""
        return "0-4"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        """``"0-4"`` to its numbers; anything else is a usage error."""
        from lldm_aug.data.splits import parse_folds

        try:
            return parse_folds(str(value))
        except LldmAugError as error:
            self.fail(error.what, param, ctx)


FOLD = FoldType()
FOLDS = FoldsType()
EXISTING_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
NEW_FOLDER = click.Path(file_okay=False, path_type=Path)

config_option = click.option(
    "--config", metavar="NAME|FILE", default=None, help="Preset, or a YAML file (which may name a preset as its base)."
)
set_option = click.option(
    "--set",
    "overrides",
    metavar="KEY=VALUE",
    multiple=True,
    help="Override one setting, such as sampling.steps=5; may be repeated.",
)
dry_run_option = click.option(
    "--dry-run", is_flag=True, help="Print the resolved settings and the work to do; write nothing."
)
seed_option = click.option(
    "--seed", type=click.IntRange(min=0), default=0, help="Seed that decides every random number."
)
out_option = click.option("--out", type=NEW_FOLDER, required=True, help="The report's folder.")
segmenter_option = click.option(
    "--segmenter",
    type=EXISTING_FOLDER,
    default=None,
    help="Evaluation segmenter: a run, generator or nnU-Net model folder; the generator's own if left out.",
)
training_option = click.option(
    "--training",
    metavar="DATASET",
    default=None,
    help="Data set that the generator was trained on; if left out, it is looked for by its name.",
)
label_fraction_option = click.option(
    "--label-fraction",
    type=click.FloatRange(0, 1, min_open=True),
    default=None,
    help="Use the labels of this fraction of the training cases alone, such as 0.1.",
)
label_fraction_seed_option = click.option(
    "--label-fraction-seed", type=click.IntRange(min=0), default=0, help="Seed that chooses the labelled cases."
)


def given_options(names: Collection[str]) -> list[str]:
    """Those of the current command's options that were given on the command line, as they are written there."""
    context = click.get_current_context()
    return [
        max(option.opts, key=len)
        for option in context.command.params
        if option.name in names and context.get_parameter_source(option.name) is not ParameterSource.DEFAULT
    ]


fold_option = click.option("--fold", type=FOLD, default=None, help="Fold of nnU-Net's split, or 'all'.")
