"""``lldm-aug train``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from lldm_aug.cli.options import (
    FOLD,
    FOLDS,
    NEW_FOLDER,
    config_option,
    dry_run_option,
    label_fraction_option,
    label_fraction_seed_option,
    set_option,
)
from lldm_aug.cli.progress import progress_bar
from lldm_aug.stages.table import GENERATOR_STAGES, commands, whole_generator

if TYPE_CHECKING:
    from lldm_aug.config.schema import Config
    from lldm_aug.data.raw import RawDataset
    from lldm_aug.data.splits import Images, LabelFraction
    from lldm_aug.training.initial import Initial

ALL = "all"


@click.command(no_args_is_help=True)
@click.argument("stage", type=click.Choice((*commands(), ALL)))
@click.option("--data", required=True, metavar="DATASET", help="Folder, or 700 / Dataset700 in $nnUNet_raw.")
@click.option("--fold", type=FOLD, help="Fold of nnU-Net's split; only its training cases are read.")
@click.option("--folds", type=FOLDS, help="Several folds instead of one, each into OUT/fold_N.")
@click.option("--out", type=NEW_FOLDER, required=True, help="Run folder; give the same one to all stages.")
@label_fraction_option
@label_fraction_seed_option
@click.option(
    "--images",
    type=click.Choice(("labelled", "fold")),
    default="labelled",
    help="With --label-fraction, whose images are used: the labelled cases', or all training cases'.",
)
@config_option
@set_option
@click.option("--init", "source", metavar="pretrained|DIR", help="Generator or run folder to start from.")
@click.option("--log-with", multiple=True, metavar="TRACKER", help="Tracker of Accelerate, such as tensorboard.")
@dry_run_option
def train(
    stage: str,
    data: str,
    fold: int | str | None,
    folds: tuple[int, ...] | None,
    out: Path,
    label_fraction: float | None,
    label_fraction_seed: int,
    images: Images,
    config: str | None,
    overrides: tuple[str, ...],
    source: str | None,
    log_with: tuple[str, ...],
    dry_run: bool,
) -> None:
    """Train one STAGE on the training cases of a fold.

    A generator is trained by the stages autoencoder, diffusion and controlnet, in this order, with the same --out.

    Run the same command again to continue after an interruption. After the last stage OUT/generator holds the
    generator. Two stages need no other: segmenter, whose model segments synthetic images to check them, and masks,
    whose model draws new masks. If they are trained before controlnet, the generator carries their models. STAGE all
    trains segmenter, autoencoder, diffusion and controlnet, one after the other. The stages baseline_... train the
    baselines of 'evaluate baselines'; baseline_latent builds on the autoencoder.

    With --label-fraction only a part of the fold's training cases is labelled; smaller fractions lie within larger
    ones. With --images fold the generator's stages also learn from the images of the other cases, without their masks.

    \b
    Examples:
      lldm-aug train autoencoder --config small --data 801 --fold 0 --out runs/x
      lldm-aug train diffusion   --config small --data 801 --fold 0 --out runs/x
      lldm-aug train controlnet  --config small --data 801 --fold 0 --out runs/x
      lldm-aug train all --config small --data 801 --folds 0-4 --out runs/y
      lldm-aug train all --config small --data 801 --folds 0-4 --label-fraction 0.25 --images fold --out runs/few
      accelerate launch -m lldm_aug train diffusion --config small --data 801 --fold 0 --out runs/x
    """
    from lldm_aug.config.load import load_config, resolved_yaml
    from lldm_aug.data.raw import RawDataset
    from lldm_aug.data.splits import LabelFraction, load_split, patients_of

    if (fold is None) == (folds is None):
        raise click.UsageError("Give either --fold or --folds.")
    runs: dict[int | str, Path] = {fold: out} if fold is not None else {n: out / f"fold_{n}" for n in folds or ()}
    stages = whole_generator() if stage == ALL else (stage,)
    settings = load_config(config, overrides)
    dataset = RawDataset.find(data)
    labelled = (
        None
        if label_fraction is None
        else LabelFraction(fraction=label_fraction, seed=label_fraction_seed, images=images)
    )
    initial = None
    if source is not None:
        from lldm_aug.training.initial import Initial

        initial = Initial.load(source)
        settings = initial.sized(settings)
    if dry_run:
        click.echo(resolved_yaml(settings))
        for number, folder in runs.items():
            train = load_split(dataset, number, write=False).train
            cases = f"{len(train)} training cases of {dataset.name}, fold {number}"
            if labelled is not None:
                cases = f"{len(labelled.labelled(train, patients_of(dataset)))} labelled of {cases}"
            for name in stages:
                click.echo(f"# {name}: {cases}, into {folder / name}")
        return
    from accelerate import PartialState

    for number, folder in runs.items():
        for name in stages:
            begun_from = None if stage == ALL and name not in GENERATOR_STAGES else initial  # others start anew
            _train(name, settings, dataset, number, folder, labelled, begun_from, log_with)
    PartialState().destroy_process_group()


def _train(
    name: str,
    settings: Config,
    dataset: RawDataset,
    fold: int | str,
    out: Path,
    labelled: LabelFraction | None,
    initial: Initial | None,
    log_with: tuple[str, ...],
) -> None:
    from accelerate import PartialState

    from lldm_aug.stages.run import number_of_steps, train

    with progress_bar(f"{name}, fold {fold}", number_of_steps(name, settings)) as update:
        result = train(
            name,
            settings,
            dataset,
            fold,
            out,
            labelled=labelled,
            initial=initial,
            log_with=log_with,
            on_step=lambda step, figures: update(step, f"loss {figures['loss']:.4f}"),
        )
    if PartialState().is_main_process:
        click.echo(f"{name} finished: {result}")
