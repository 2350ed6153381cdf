"""``lldm-aug generate``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lldm_aug.cli.options import (
    EXISTING_FOLDER,
    NEW_FOLDER,
    dry_run_option,
    fold_option,
    given_options,
    label_fraction_option,
    label_fraction_seed_option,
    seed_option,
)
from lldm_aug.cli.progress import track
from lldm_aug.inpainting import DEFAULT_MARGIN_MM, PAINTS, REGIONS
from lldm_aug.masks import KINDS
from lldm_aug.processes import PATIENCE

if TYPE_CHECKING:
    from lldm_aug.data.raw import RawDataset
    from lldm_aug.pool.manifest import PoolCase
    from lldm_aug.synthesis.inpainting_plan import InpaintingSettings
    from lldm_aug.synthesis.job import JobPlan

    Make = Callable[[Iterable[int]], Iterator[PoolCase]]

INPAINTING = ("paint", "region", "margin_mm", "strength")
"""Options that are of no effect without --inpaint."""
OF_A_GENERATOR = ("model", "steps", "guidance", "strength", "quality_filter", "segmenter")
"""Options that are of no effect where no generator paints."""


@click.command(no_args_is_help=True)
@click.option("--n", type=click.IntRange(min=1), required=True, help="Number of pairs to make, rejected ones included.")
@click.option("--out", type=NEW_FOLDER, required=True, help="The pool's folder.")
@click.option(
    "--model", type=EXISTING_FOLDER, default=None, help="Generator or run folder; the embedded one if left out."
)
@click.option("--masks", type=click.Choice(KINDS), default=None, help="Kind of the masks.")
@click.option(
    "--data", metavar="DATASET", default=None, help="Data set that masks come from; the generator's if left out."
)
@click.option("--unknown", metavar="NAME", multiple=True, help="Leave a structure out of the masks; may be repeated.")
@fold_option
@label_fraction_option
@label_fraction_seed_option
@seed_option
@click.option(
    "--steps",
    type=click.IntRange(min=1),
    default=None,
    help="Steps of the solver; the generator's own number if left out.",
)
@click.option(
    "--guidance",
    type=click.FloatRange(0, 20),
    default=None,
    help="Strength of classifier-free guidance; the generator's own if left out.",
)
@click.option(
    "--filter",
    "quality_filter",
    is_flag=True,
    help="Keep only pairs that pass the quality filter, with the generator's own segmenter.",
)
@click.option(
    "--segmenter",
    type=EXISTING_FOLDER,
    default=None,
    help="Filter with another evaluation segmenter: a run, generator or nnU-Net model folder.",
)
@click.option("--inpaint", is_flag=True, help="Keep real images (hosts) and paint only a region of each anew.")
@click.option(
    "--paint", type=click.Choice(PAINTS), default="diffusion", help="With --inpaint, how the region is painted."
)
@click.option("--region", type=click.Choice(REGIONS), default="edits", help="With --inpaint, which region is painted.")
@click.option(
    "--margin-mm",
    type=click.FloatRange(0, 100),
    default=DEFAULT_MARGIN_MM,
    help="With --inpaint, how far around the region is painted, too.",
)
@click.option(
    "--strength",
    type=click.FloatRange(0, 1, min_open=True),
    default=1.0,
    help="With --inpaint, below 1 the region keeps some of its old appearance.",
)
@click.option("--num-parts", type=click.IntRange(min=1), default=1, help="Divide the work by hand: number of parts.")
@click.option(
    "--part-id", type=click.IntRange(min=0), default=0, help="Number of the part that this call makes, from 0."
)
@click.option("--follow", is_flag=True, help="Go on until stopped: each new pair replaces the oldest of --n.")
@click.option(
    "--pause", type=click.FloatRange(min=0), default=0.0, help="With --follow, seconds to wait after each pair."
)
@dry_run_option
def generate(
    n: int,
    out: Path,
    model: Path | None,
    masks: str | None,
    data: str | None,
    unknown: tuple[str, ...],
    fold: int | str | None,
    label_fraction: float | None,
    label_fraction_seed: int,
    seed: int,
    steps: int | None,
    guidance: float | None,
    quality_filter: bool,
    segmenter: Path | None,
    inpaint: bool,
    num_parts: int,
    part_id: int,
    follow: bool,
    pause: float,
    dry_run: bool,
    **inpainting: Any,
) -> None:
    """Write a pool of synthetic images with their masks, in nnU-Net's raw layout with a manifest.

    Run the same command again to continue after an interruption; a larger --n adds cases. Case k of a seed is the same
    whatever the number of parts, processes or restarts. If --masks is left out, masks are deformed ones of the training
    cases, or procedural ones for the embedded generator. Pairs that the quality filter rejects are counted and kept
    apart, in OUT/rejected; they are not made again. A structure of the generator that the masks lack, or that --unknown
    names, is unknown: the image may show it or not, and the pool does not have it. With --label-fraction only the masks
    of that fraction of the fold's training cases are used, the same cases that 'train' and 'evaluate utility' choose.
    With --follow the pool keeps the newest --n pairs, for a training that takes new pairs while it runs; stop it with
    Ctrl-C or SIGTERM.

    With --inpaint a pair is a real training case, its host, of which a region is painted anew: what was edited in its
    mask (--region edits), all lesions, or the whole labelled organ. Outside of the region image and mask are the
    host's, bit for bit. With --paint copy-paste lesions of other cases are pasted, and no generator is used.

    \b
    Examples:
      lldm-aug generate --n 500 --out pools/x
      lldm-aug generate --n 100 --out pools/y --model runs/x --masks deformed --data 801 --fold 0
      lldm-aug generate --n 100 --out pools/f --data 700 --fold 0 --label-fraction 0.1
      lldm-aug generate --n 100 --out pools/z --model runs/x --filter
      lldm-aug generate --n 100 --out pools/u --unknown hcc
      lldm-aug generate --n 200 --out pools/fresh --model runs/x --follow
      lldm-aug generate --n 200 --out pools/lesions --model runs/x --inpaint
      lldm-aug generate --n 200 --out pools/pasted --data 700 --fold 0 --inpaint --paint copy-paste
      accelerate launch -m lldm_aug generate --n 500 --out pools/x
    """
    from lldm_aug.data.splits import LabelFraction
    from lldm_aug.synthesis.inpainting_plan import InpaintingSettings

    settings = InpaintingSettings(**inpainting) if inpaint else None
    labelled = None if label_fraction is None else LabelFraction(fraction=label_fraction, seed=label_fraction_seed)
    drawn = {"data": data, "fold": fold, "left_out": unknown, "labelled": labelled, "write_split": not dry_run}
    plan = _plan(settings, model, masks, drawn, seed, steps, guidance, quality_filter, segmenter)
    if dry_run:
        for line in (*plan.lines(), f"cases      {n} into {out}"):
            click.echo(line)
        return
    from accelerate import PartialState
    from accelerate.utils import parse_flag_from_env

    from lldm_aug.pool.rejected import RejectedCase
    from lldm_aug.pool.writer import open_pool
    from lldm_aug.synthesis.generate import generate as make_cases

    state = PartialState(cpu=parse_flag_from_env("ACCELERATE_USE_CPU"), timeout=PATIENCE)
    job = plan.begin(state.device)
    open_pool(out, job.info)
    share_of_work = num_parts * state.num_processes, part_id * state.num_processes + state.process_index
    make = partial(make_cases, job.make, out, seed, quality_filter=job.quality_filter)
    done = _followed(make, out, n, seed, share_of_work, pause) if follow else _filled(make, out, n, seed, share_of_work)
    kept = sum(not isinstance(case, RejectedCase) for case in done)
    state.wait_for_everyone()
    if state.is_main_process and part_id == 0:
        _finish(out, kept, plan.hosts)


def _plan(
    settings: InpaintingSettings | None,
    model: Path | None,
    masks: str | None,
    drawn: dict[str, Any],
    seed: int,
    steps: int | None,
    guidance: float | None,
    quality_filter: bool,
    segmenter: Path | None,
) -> JobPlan:
    """What the options ask for, with what they leave open filled in."""
    from lldm_aug.models.config_file import generator_folder
    from lldm_aug.models.description import Description
    from lldm_aug.resources import pretrained_dir
    from lldm_aug.synthesis.generation_plan import choose_sampling, request_masks
    from lldm_aug.synthesis.inpainting_plan import CopyPastePlan, check_hosts, request_hosts
    from lldm_aug.synthesis.job import GeneratorPlan

    _refuse_idle(settings)
    if settings is not None:
        masks = masks or settings.mask_kind
        check_hosts(masks)
        if settings.paint == "copy-paste":
            return CopyPastePlan(request_hosts(masks, **drawn), settings, seed)
    start = model if model is not None else pretrained_dir()
    folder = generator_folder(start)
    description = Description.read(folder)
    kind = masks or ("procedural" if model is None and drawn["data"] is None else "deformed")
    request = request_masks(description, kind, model=start, **drawn)
    sampling = choose_sampling(description, steps, guidance, inpainting=settings is not None)
    return GeneratorPlan(
        folder, description, request, seed, sampling, segmenter or (folder if quality_filter else None), settings
    )


def _refuse_idle(settings: InpaintingSettings | None) -> None:
    """Raises ConfigError for options that were given and would be passed over."""
    from lldm_aug.errors import ConfigError

    idle: tuple[str, ...]
    if settings is None:
        idle, why = INPAINTING, "without --inpaint"
    elif settings.paint == "copy-paste":
        idle, why = OF_A_GENERATOR, "with --paint copy-paste"
    else:
        return
    if given := given_options(idle):
        raise ConfigError(f"of no effect {why}", where=", ".join(given), fix="leave out what is ignored")


def _filled(make: Make, out: Path, n: int, seed: int, share_of_work: tuple[int, int]) -> Iterable[PoolCase]:
    """Makes what a pool lacks of n cases."""
    from lldm_aug.synthesis.generate import missing_indices

    todo = missing_indices(out, n, seed, *share_of_work)
    return track(make(todo), "generate", len(todo))


def _followed(
    make: Make, out: Path, n: int, seed: int, share_of_work: tuple[int, int], pause: float
) -> Iterable[PoolCase]:
    """Makes new cases without end, the oldest beyond n leaving."""
    from lldm_aug.synthesis.generate import renewed, unmade_indices, until_stopped

    made = make(unmade_indices(out, seed, *share_of_work))
    return until_stopped(renewed(made, out, n, seed, *share_of_work), pause)


def _finish(out: Path, kept: int, hosts: RawDataset | None) -> None:
    """Draws the pool's mosaic, and says what it holds and how many of its cases are new."""
    from lldm_aug.pool.pool_mosaic import draw_pool
    from lldm_aug.pool.rejected import count_reasons, read_rejected
    from lldm_aug.pool.summary import summarise
    from lldm_aug.synthesis.generate import kept_cases

    draw_pool(out, hosts)
    rejected = read_rejected(out)
    if rejected:
        reasons = ", ".join(f"{name} {count}" for name, count in count_reasons(rejected.values()).items())
        click.echo(f"{out / 'rejected'}: {len(rejected)} pairs that the quality filter rejected ({reasons})")
    cases = kept_cases(out)
    redrawn = summarise(out).rejected_masks
    again = f"; {redrawn} masks were refused for their anatomy and drawn again" if redrawn else ""
    click.echo(f"{out}: {cases} cases, {kept} of them new here{again}; see {out / 'mosaic.png'}")
