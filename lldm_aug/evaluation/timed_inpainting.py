"""How long inpainting in memory takes, by part: ``lldm-aug bench inpainting``."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import numpy as np
from torch.utils.data import DataLoader, Dataset

from lldm_aug.anatomy.limits import LESIONS
from lldm_aug.data.raw import Case
from lldm_aug.evaluation.goals import INPAINTING_SECONDS, SAMPLES_PER_SECOND
from lldm_aug.inpainting.diffusion_inpainter import DiffusionInpainter
from lldm_aug.inpainting.inpaint import Inpaint
from lldm_aug.inpainting.region_choice import choose_region
from lldm_aug.inpainting.sampling import inpainting_sampling
from lldm_aug.labels import HBP
from lldm_aug.machine import Machine
from lldm_aug.masks.edits import Planned, make_edits
from lldm_aug.masks.site import Site
from lldm_aug.masks.tumour_shapes import Blob
from lldm_aug.masks.validity import mask_problems
from lldm_aug.models.generator import Generator
from lldm_aug.phantom.render_case import DEFAULT_GRID, phantom_case
from lldm_aug.record import Record
from lldm_aug.report.criterion import Criterion, judge
from lldm_aug.seeds import derive_seed, numpy_rng
from lldm_aug.version import __version__
from lldm_aug.volume import Volume

FILE = "inpainting.json"
DIAMETER_MM = 30.0
"""Of the lesion whose time is taken."""
PARTS = ("mask", "region", "image")
T = TypeVar("T")


@dataclass(frozen=True)
class TimedLesion:
    """Seconds for one lesion of `DIAMETER_MM`.

    Args:
        wall: of each part, on the clock.
        cpu: the same on all cores together: what other processes do hardly matters to it.
    """

    wall: dict[str, float]
    cpu: dict[str, float]


class InpaintingResults(Record):
    """What the file holds.

    Args:
        lldm_aug_version: version that was measured.
        generator: hash of the generator.
        machine: that timings were taken on.
        criteria: every figure with its bound and verdict.
    """

    lldm_aug_version: str
    generator: str
    machine: Machine
    criteria: tuple[Criterion, ...]


class _Hosts(Dataset[Case]):
    """Cases, again and again."""

    def __init__(self, cases: Sequence[Case], length: int) -> None:
        self.cases, self.length = cases, length

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> Case:
        return self.cases[index % len(self.cases)]


def phantom_hosts(count: int, seed: int) -> list[Case]:
    """Hosts of 96 x 96 x 64 voxels."""
    return [phantom_case(seed, index, DEFAULT_GRID) for index in range(count)]


def time_lesions(generator: Generator, hosts: Sequence[Case]) -> list[TimedLesion]:
    """Adds a lesion to each host in which there is room for it; the first is done twice, and counts once."""
    inpainter = DiffusionInpainter(generator, HBP, inpainting_sampling(generator.description))
    timed = [_time_lesion(inpainter, host, index) for index, host in enumerate([hosts[0], *hosts])]
    return [found for found in timed[1:] if found is not None]


def _time_lesion(inpainter: DiffusionInpainter, host: Case, index: int) -> TimedLesion | None:
    """None where there is no room."""
    spent = TimedLesion({}, {})
    label = _clocked(spent, "mask", partial(_with_lesion, host, index))
    if label is None:
        return None
    spacing_mm = host.grid.spacing_mm
    choose = partial(choose_region, "edits", host.label, label, HBP, ("hcc",), spacing_mm)
    region = _clocked(spent, "region", choose)
    _clocked(spent, "image", partial(inpainter.inpaint, host, label, region, derive_seed("bench inpainting", index)))
    return spent


def _with_lesion(host: Case, index: int) -> np.ndarray | None:
    """(X, Y, Z) a host's mask with one more lesion."""
    rng, site = numpy_rng("bench inpainting", index), Site(Volume(host.label, host.grid), HBP)
    plan = [Planned("added", HBP.value("hcc"), Blob.draw(rng, DIAMETER_MM), None)]
    part, _, problems = make_edits(rng, site, plan)
    label = host.label.copy()
    label[site.box] = part
    problems = problems or mask_problems(label, HBP, host.label, made=LESIONS & {*HBP.names})
    return None if problems else label


def _clocked(spent: TimedLesion, part: str, work: Callable[[], T]) -> T:
    wall, cpu = time.perf_counter(), time.process_time()
    result = work()
    spent.wall[part], spent.cpu[part] = time.perf_counter() - wall, time.process_time() - cpu
    return result


def samples_per_second(generator: Generator, hosts: Sequence[Case], count: int, workers: int) -> float:
    """Edited samples that a data loader gives, all of them edited as `Inpaint` does by default.

    Args:
        generator: the generator.
        hosts: the real cases.
        count: how many samples are timed; each worker does one before.
        workers: of the loader.
    """
    data = Inpaint(generator, HBP, probability=1.0).over(_Hosts(hosts, count + workers))
    loader: DataLoader[Any] = DataLoader(data, batch_size=None, num_workers=workers)
    samples = iter(loader)
    for _ in range(max(1, workers)):
        next(samples)
    start = time.perf_counter()
    done = sum(1 for _ in samples)
    return done / (time.perf_counter() - start)


def compile_inpainting(
    generator: Generator, timed: Sequence[TimedLesion], rate: float, workers: int, machine: Machine
) -> InpaintingResults:
    """Judges what was measured."""
    wall = {part: float(np.median([t.wall[part] for t in timed])) for part in PARTS} if timed else {}
    cpu = {f"{part}, CPU": float(np.median([t.cpu[part] for t in timed])) for part in PARTS} if timed else {}
    whole = float(np.median([sum(t.wall.values()) for t in timed])) if timed else None
    note = "" if timed else "no phantom has room for the lesion"
    return InpaintingResults(
        lldm_aug_version=__version__,
        generator=generator.hash,
        machine=machine,
        criteria=(
            judge(f"lesion of {DIAMETER_MM:g} mm [s]", INPAINTING_SECONDS, whole, beside={**wall, **cpu}, note=note),
            judge(f"samples a second, {workers} workers", SAMPLES_PER_SECOND, rate),
        ),
    )
