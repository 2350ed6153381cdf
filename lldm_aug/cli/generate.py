"""``lldm-aug generate``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lldm_aug.cli.options import (
    EXISTING_FOLDER,
    NEW_FOLDER,
    dry_run_option,
    fold_option,
    seed_option,
    share_option,
    share_seed_option,
)
from lldm_aug.cli.progress import track
from lldm_aug.masks import KINDS
from lldm_aug.processes import PATIENCE

if TYPE_CHECKING:
    from lldm_aug.config.schema import SamplingSettings
    from lldm_aug.models.description import Description
    from lldm_aug.pool.manifest import PoolCase
    from lldm_aug.synthesis.plan import MaskRequest

    Make = Callable[[Iterable[int]], Iterator[PoolCase]]


@click.command(no_args_is_help=True)
@click.option("--n", type=click.IntRange(min=1), required=True, help="Pairs to make, rejected ones included.")
@click.option("--out", type=NEW_FOLDER, required=True, help="The pool's folder.")
@click.option(
    "--model", type=EXISTING_FOLDER, default=None, help="Generator or run folder; the embedded one if left out."
)
@click.option("--masks", type=click.Choice(KINDS), default=None, help="Where masks come from.")
@click.option("--data", metavar="DATASET", default=None, help="Data set of the masks; the generator's if left out.")
@click.option("--unknown", metavar="NAME", multiple=True, help="Leave a structure out of the masks; may be repeated.")
@fold_option
@share_option
@share_seed_option
@seed_option
@click.option("--steps", type=click.IntRange(min=1), default=None, help="Steps of the solver.")
@click.option("--guidance", type=click.FloatRange(0, 20), default=None, help="Classifier-free guidance on the mask.")
@click.option("--gate", is_flag=True, help="Keep only pairs that the generator's own segmenter and statistics confirm.")
@click.option(
    "--referee", type=EXISTING_FOLDER, default=None, help="Gate with this segmenter, run or nnU-Net model folder."
)
@click.option("--num-parts", type=click.IntRange(min=1), default=1, help="Share the work by hand: number of parts.")
@click.option("--part-id", type=click.IntRange(min=0), default=0, help="Which part this call makes, from 0.")
@click.option("--follow", is_flag=True, help="Go on until stopped: each new pair takes the place of the oldest of --n.")
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
    share: float | None,
    share_seed: int,
    seed: int,
    steps: int | None,
    guidance: float | None,
    gate: bool,
    referee: Path | None,
    num_parts: int,
    part_id: int,
    follow: bool,
    pause: float,
    dry_run: bool,
) -> None:
    """Write a pool of synthetic images with their masks, in nnU-Net's raw layout with a manifest.

    Run the same command again to go on after an interruption; a larger --n adds cases. Case k of a seed is the
    same whatever the number of parts, processes or restarts. Without --masks they are deformed ones of the training
    cases, or procedural ones for the embedded generator. Pairs that the gate rejects are counted and kept apart, in
    OUT/rejected; they are not made anew. Structures that the generator knows and the masks lack, or that --unknown
    names, are left open: the image may show them or not, and the pool does not have them. With --share only the masks
    of that share of the fold's training cases are used, as 'train' and 'evaluate utility' choose it. With --follow the
    pool keeps the newest --n pairs, for a training that takes new ones as it goes; stop it with Ctrl-C or SIGTERM.

    \b
    Examples:
      lldm-aug generate --n 500 --out pools/x
      lldm-aug generate --n 100 --out pools/y --model runs/x --masks deformed --data 801 --fold 0
      lldm-aug generate --n 100 --out pools/f --data 700 --fold 0 --share 0.1
      lldm-aug generate --n 100 --out pools/z --model runs/x --gate
      lldm-aug generate --n 100 --out pools/u --unknown hcc
      lldm-aug generate --n 200 --out pools/fresh --model runs/x --follow
      accelerate launch -m lldm_aug generate --n 500 --out pools/x
    """
    from lldm_aug.data.share import LabelledShare
    from lldm_aug.models.description import read_description
    from lldm_aug.resources import pretrained_dir
    from lldm_aug.synthesis.plan import choose_sampling, describe_pool, generator_folder, make_gate, request_masks

    start = model if model is not None else pretrained_dir()
    folder = generator_folder(start)
    description = read_description(folder)
    kind = masks or ("procedural" if model is None and data is None else "deformed")
    labelled = None if share is None else LabelledShare(share=share, seed=share_seed)
    request = request_masks(
        description, kind, data, fold, model=start, left_out=unknown, labelled=labelled, write_split=not dry_run
    )
    sampling = choose_sampling(description, steps, guidance)
    referee = referee or (folder if gate else None)
    if dry_run:
        _show(folder, description, request, sampling, referee)
        click.echo(f"cases      {n} into {out}")
        return
    from accelerate import PartialState
    from accelerate.utils import parse_flag_from_env

    from lldm_aug.models.generator import Generator
    from lldm_aug.pool.rejected import RejectedCase
    from lldm_aug.pool.writer import open_pool
    from lldm_aug.synthesis.generate import generate as make_cases

    state = PartialState(cpu=parse_flag_from_env("ACCELERATE_USE_CPU"), timeout=PATIENCE)
    generator = Generator.load(folder).to(state.device)
    source = request.source(description, state.device)
    judge = None if referee is None else make_gate(description, request, referee, state.device)
    open_pool(out, describe_pool(description, generator.hash, request, seed, sampling, judge))
    share_of_work = num_parts * state.num_processes, part_id * state.num_processes + state.process_index
    make = partial(make_cases, generator, source, out, seed, sampling=sampling, gate=judge)
    done = _followed(make, out, n, seed, share_of_work, pause) if follow else _filled(make, out, n, seed, share_of_work)
    kept = sum(not isinstance(case, RejectedCase) for case in done)
    state.wait_for_everyone()
    if state.is_main_process and part_id == 0:
        _finish(out, kept)


def _filled(make: Make, out: Path, n: int, seed: int, share_of_work: tuple[int, int]) -> Iterable[PoolCase]:
    """Makes what a pool lacks of n cases."""
    from lldm_aug.synthesis.generate import missing_indices

    todo = missing_indices(out, n, seed, *share_of_work)
    return track(make(todo), "generate", len(todo))


def _followed(
    make: Make, out: Path, n: int, seed: int, share_of_work: tuple[int, int], pause: float
) -> Iterable[PoolCase]:
    """Makes new cases without end, the oldest beyond n leaving."""
    from lldm_aug.synthesis.generate import unmade_indices
    from lldm_aug.synthesis.renew import renewed, until_stopped

    made = make(unmade_indices(out, seed, *share_of_work))
    return until_stopped(renewed(made, out, n, seed, *share_of_work), pause)


def _show(
    folder: Path, description: Description, request: MaskRequest, sampling: SamplingSettings, referee: Path | None
) -> None:
    """Prints what would be drawn from, how, and who would judge it; a referee that does not fit is refused here too."""
    from lldm_aug.masks.relabelling import Relabelling
    from lldm_aug.synthesis.plan import make_gate

    schema = request.schema(description)
    hidden = Relabelling(schema, description.labels).unknown
    click.echo(f"generator  {folder}\nmasks      {request.kind} {_origin(request)}")
    click.echo(f"structures {', '.join(schema.names)}; unknown: {', '.join(hidden) or 'none'}")
    click.echo(f"sampling   {sampling.model_dump()}")
    judge = None if referee is None else make_gate(description, request, referee)
    told = "none" if judge is None else f"referee {judge.referee.hash[:12]} of {referee}"
    click.echo(f"gate       {told}")


def _origin(request: MaskRequest) -> str:
    return f"of {len(request.cases)} cases of {request.dataset.name}" if request.dataset is not None else ""


def _finish(out: Path, kept: int) -> None:
    """Draws the pool's mosaic, and says what it holds and how many of its cases are new."""
    from lldm_aug.pool.mosaic import draw_pool
    from lldm_aug.pool.rejected import count_reasons, read_rejected
    from lldm_aug.pool.summary import summarise
    from lldm_aug.synthesis.generate import kept_cases

    draw_pool(out)
    rejected = read_rejected(out)
    if rejected:
        reasons = ", ".join(f"{name} {count}" for name, count in count_reasons(rejected.values()).items())
        click.echo(f"{out / 'rejected'}: {len(rejected)} pairs that the gate rejected ({reasons})")
    cases = kept_cases(out)
    redrawn = summarise(out).rejected_masks
    again = f"; {redrawn} masks were refused for their anatomy and drawn again" if redrawn else ""
    click.echo(f"{out}: {cases} cases, {kept} of them new here{again}; see {out / 'mosaic.png'}")
