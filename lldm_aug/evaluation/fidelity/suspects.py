"""Pictures of the most suspicious pairs beside their nearest training case."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lldm_aug.evaluation.conformed import ConformedCase
from lldm_aug.evaluation.fidelity.copies import MASK, Space
from lldm_aug.evaluation.fidelity.run import Reader
from lldm_aug.io.atomic import atomic_folder
from lldm_aug.labels import LabelSchema
from lldm_aug.pictures.mosaic import MosaicRow, write_mosaic

FOLDER = "suspects"
A_SPACE = 3
"""Pairs that are shown for each distance."""


@dataclass(frozen=True)
class Suspect:
    """A pair and the training case that it is near.

    Args:
        pair: number of the pair in the pool.
        training: number of the training case.
        space: by which distance.
        distance: between them.
        held_out: smallest distance of any held-out case to a training case.
    """

    pair: int
    training: int
    space: str
    distance: float
    held_out: float


def find_suspects(spaces: Sequence[Space], names: Sequence[str], by_design: Collection[str]) -> list[Suspect]:
    """The nearest pairs by each distance, those nearest in proportion to held-out cases first; each once.

    Args:
        spaces: the distances.
        names: of the pairs.
        by_design: pairs with a training case's mask, or one made from it, which is no reason for suspicion.
    """
    found: list[tuple[float, Suspect]] = []
    for space in spaces:
        order = np.argsort(space.pairs.distances, kind="stable")
        for i in [i for i in order if space.name != MASK or names[i] not in by_design][:A_SPACE]:
            suspect = Suspect(
                pair=int(i),
                training=int(space.pairs.nearest[i]),
                space=space.name,
                distance=float(space.pairs.distances[i]),
                held_out=space.smallest,
            )
            found.append((float(space.shares[i]), suspect))
    shown: dict[tuple[int, int], Suspect] = {}
    for _, suspect in sorted(found, key=lambda item: item[0]):
        shown.setdefault((suspect.pair, suspect.training), suspect)
    return list(shown.values())


def draw_suspects(suspects: Sequence[Suspect], reader: Reader, out: Path) -> list[Path]:
    """Writes a picture of each into the report's ``suspects`` folder, in place of older ones; their paths there."""
    names = []
    with atomic_folder(out / FOLDER) as folder:
        for number, suspect in enumerate(suspects, 1):
            pair = reader.pair(suspect.pair)
            training = reader.training(reader.plan.training_cases[suspect.training])
            names.append(f"{number:02d}_{suspect.space}_{pair.case_id}.png")
            _draw(folder / names[-1], suspect, pair, training, reader.plan.pool.schema)
    return [Path(FOLDER) / name for name in names]


def _draw(path: Path, suspect: Suspect, pair: ConformedCase, training: ConformedCase, schema: LabelSchema) -> None:
    spacing = pair.grid.spacing_mm
    told = f"{suspect.space} distance {suspect.distance:.3g}; nearest held-out case to any training case "
    rows = [
        MosaicRow(pair.scaled[0], pair.label, spacing, f"synthetic: {pair.case_id}"),
        MosaicRow(training.scaled[0], training.label, spacing, f"training: {training.case_id}", pair.label),
    ]
    write_mosaic(path, rows, title=f"{told}{suspect.held_out:.3g}", schema=schema)
