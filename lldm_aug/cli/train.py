"""``lldm-aug train``."""

from __future__ import annotations

from pathlib import Path

import click

from lldm_aug.cli.options import FOLD, NEW_FOLDER, config_option, dry_run_option, set_option
from lldm_aug.cli.progress import progress_bar

STAGES = ("segmenter", "autoencoder", "diffusion", "controlnet", "masks")


@click.command(no_args_is_help=True)
@click.argument("stage", type=click.Choice(STAGES))
@click.option("--data", required=True, metavar="DATASET", help="Folder, or 700 / Dataset700 in $nnUNet_raw.")
@click.option("--fold", type=FOLD, required=True, help="Fold of nnU-Net's split: only its training cases are read.")
@click.option("--out", type=NEW_FOLDER, required=True, help="Run folder, the same for all stages.")
@config_option
@set_option
@click.option("--init", "source", metavar="pretrained|DIR", help="Generator or run folder to start from.")
@click.option("--log-with", multiple=True, metavar="TRACKER", help="Tracker of Accelerate, such as tensorboard.")
@dry_run_option
def train(
    stage: str,
    data: str,
    fold: int | str,
    out: Path,
    config: str | None,
    overrides: tuple[str, ...],
    source: str | None,
    log_with: tuple[str, ...],
    dry_run: bool,
) -> None:
    """Train one STAGE of a generator: autoencoder, then diffusion, then controlnet, all with the same --out.

    Run the same command again to go on after an interruption. After the last stage OUT/generator holds the generator.
    Two stages stand alone and come at any time before controlnet, whose generator then carries what they made:
    segmenter, which judges images, and masks, which draws new masks.

    \b
    Examples:
      lldm-aug train autoencoder --config small --data 801 --fold 0 --out runs/x
      lldm-aug train diffusion   --config small --data 801 --fold 0 --out runs/x
      lldm-aug train controlnet  --config small --data 801 --fold 0 --out runs/x
      accelerate launch -m lldm_aug train diffusion --config small --data 801 --fold 0 --out runs/x
    """
    from lldm_aug.config.load import load_config, resolved_yaml
    from lldm_aug.data.raw import RawDataset
    from lldm_aug.data.splits import load_split

    settings = load_config(config, overrides)
    dataset = RawDataset.find(data)
    initial = None
    if source is not None:
        from lldm_aug.training.initial import Initial

        initial = Initial.load(source)
        settings = initial.sized(settings)
    if dry_run:
        split = load_split(dataset, fold, write=False)
        click.echo(resolved_yaml(settings))
        click.echo(f"# {stage}: {len(split.train)} training cases of {dataset.name}, fold {fold}, into {out / stage}")
        return
    from accelerate import PartialState

    from lldm_aug.training.run import number_of_steps
    from lldm_aug.training.run import train as train_stage

    with progress_bar(stage, number_of_steps(stage, settings)) as update:
        result = train_stage(
            stage,
            settings,
            dataset,
            fold,
            out,
            initial=initial,
            log_with=log_with,
            on_step=lambda step, figures: update(step, f"loss {figures['loss']:.4f}"),
        )
    state = PartialState()
    if state.is_main_process:
        click.echo(f"{stage} finished: {result}")
    state.destroy_process_group()
