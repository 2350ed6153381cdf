"""The memorization check: are pairs nearer to training cases, in image and mask, than held-out real cases are?

A generator that copies nothing makes pairs that lie as far from the training cases as other real cases do. The rule:

- ``copies``: a pair's distance to its nearest training case is below half the smallest of any held-out real case;
- ``too close``: no such pair, but distances as a whole are smaller than those of held-out cases (one-sided
  Mann-Whitney test, p < 0.01);
- ``no sign of copies``: neither.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.stats import mannwhitneyu

from lldm_aug.evaluation.conformed_cases import ConformedCase
from lldm_aug.evaluation.goals import CHANCE
from lldm_aug.evaluation.measure.meter import Likeness
from lldm_aug.evaluation.measure.neighbours import Neighbours, decorrelation, euclidean, mask_distances, nearest
from lldm_aug.io.atomic import atomic_folder
from lldm_aug.labels import LabelSchema
from lldm_aug.pictures.mosaic import MosaicRow, write_mosaic
from lldm_aug.record import Record
from lldm_aug.report.criterion import finite
from lldm_aug.report.data_table import Cell, Table

COPY_SHARE = 0.5
"""Share of the smallest distance of held-out cases below which a pair is called a copy."""
COPIES, TOO_CLOSE, NONE = "copies", "too close", "no sign of copies"
SEVERITY = (NONE, TOO_CLOSE, COPIES)
MASK = "mask"
NEAREST_PAIRS = "nearest_pairs"
SHOWN = 3
"""Pairs that are shown for each distance."""
RULE = (
    f"'{COPIES}': a distance below {COPY_SHARE:g} of the smallest of any held-out real case; '{TOO_CLOSE}': distances "
    f"smaller than those of held-out cases as a whole (one-sided Mann-Whitney, p < {CHANCE:g}); else '{NONE}'."
)


@dataclass(frozen=True)
class Space:
    """Nearest training cases by one distance.

    Args:
        name: ``features``, ``image`` or ``mask``.
        pairs: of the pool's pairs.
        held_out: of the held-out real cases.
    """

    name: str
    pairs: Neighbours
    held_out: Neighbours

    @property
    def smallest(self) -> float:
        """Smallest distance above 0 of any held-out case; NaN if there is none, as for masks that are all empty."""
        return float(min(self.held_out.distances[self.held_out.distances > 0], default=np.nan))

    @property
    def shares(self) -> np.ndarray:
        """(N,) distance of each pair over the smallest of any held-out case; below 1 is nearer than all of them."""
        return np.asarray(self.pairs.distances / self.smallest)

    @property
    def quantiles(self) -> np.ndarray:
        """(N,) share of the held-out cases that are as near to a training case as a pair, or nearer."""
        return np.asarray((self.held_out.distances[None] <= self.pairs.distances[:, None]).mean(axis=1))


class CopyVerdict(Record):
    """What the rule says about one distance.

    Args:
        space: the distance.
        verdict: ``copies``, ``too close`` or ``no sign of copies``; None where there is nothing to judge.
        judged: number of pairs.
        copies: pairs that are called copies.
        nearer_than_any: pairs nearer to a training case than every held-out one.
        smallest_share: the smallest distance over the smallest of held-out cases.
        p: of the test.
        by_design: pairs with the anatomy of a training case, which they were made for.
    """

    space: str
    verdict: str | None
    judged: int
    copies: int
    nearer_than_any: int
    smallest_share: float | None
    p: float | None
    by_design: int


def find_spaces(pairs: Sequence[Likeness], held_out: Sequence[Likeness], training: Sequence[Likeness]) -> list[Space]:
    """The nearest training case of each pair and each held-out case, by three distances.

    Between features of the image, averaged over slices; 1 - correlation of small images; and of masks, whatever their
    place (see `lldm_aug.evaluation.measure.neighbours`).
    """
    spaces = {"features": _features, "image": _images, MASK: _masks}
    return [
        Space(name, *(nearest(distances(cases, training)) for cases in (pairs, held_out)))
        for name, distances in spaces.items()
    ]


def judge_space(space: Space, names: Sequence[str], by_design: Collection[str]) -> CopyVerdict:
    """The rule on one distance.

    Masks that were made from training masks are near them by design, and not judged; their images are.

    Args:
        space: the distances.
        names: of the pairs.
        by_design: pairs that were made for a training case's mask, or one made from it.
    """
    judged = np.array([space.name != MASK or name not in by_design for name in names])
    shares, distances = space.shares[judged], space.pairs.distances[judged]
    copied, verdict, p = int((shares < COPY_SHARE).sum()), None, None
    if len(distances):
        p = float(mannwhitneyu(distances, space.held_out.distances, alternative="less").pvalue)
        verdict = COPIES if copied else TOO_CLOSE if p < CHANCE else NONE
    return CopyVerdict(
        space=space.name,
        verdict=verdict,
        judged=len(distances),
        copies=copied,
        nearer_than_any=int((shares < 1).sum()),
        smallest_share=finite(float(shares.min(initial=np.inf))),
        p=p,
        by_design=len(by_design),
    )


def overall(verdicts: Sequence[CopyVerdict]) -> str | None:
    """The worst of the verdicts; None without any."""
    found = [verdict.verdict for verdict in verdicts if verdict.verdict is not None]
    return max(found, key=SEVERITY.index) if found else None


def copies_table(spaces: Sequence[Space], pairs: Sequence[str], training: Sequence[str]) -> Table:
    """Table ``copies``: the nearest training case of every pair by every distance, the nearest first."""
    rows: list[tuple[Cell, ...]] = []
    for space in spaces:
        for i in np.argsort(space.pairs.distances, kind="stable"):
            near, quantile = training[int(space.pairs.nearest[i])], float(space.quantiles[i])
            rows.append((pairs[i], space.name, float(space.pairs.distances[i]), near, quantile))
    return Table(
        name="copies",
        title="The nearest training case of every pair",
        columns=("pair", "space", "distance", "nearest", "held_out_quantile"),
        rows=tuple(rows),
        note="held_out_quantile: share of held-out real cases that are as near to a training case, or nearer.",
    )


def verdicts_table(verdicts: Sequence[CopyVerdict]) -> Table:
    """Table ``copy_verdicts``: the rule and what it says."""
    columns = ("space", "verdict", "judged", "copies", "nearer_than_any", "smallest_share", "p", "by_design")
    rows = tuple(tuple(getattr(verdict, column) for column in columns) for verdict in verdicts)
    return Table(name="copy_verdicts", title="Copies of training cases", columns=columns, rows=rows, note=RULE)


@dataclass(frozen=True)
class NearestPair:
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


def find_nearest_pairs(spaces: Sequence[Space], names: Sequence[str], by_design: Collection[str]) -> list[NearestPair]:
    """The nearest pairs by each distance, those nearest in proportion to held-out cases first; each once.

    Args:
        spaces: the distances.
        names: of the pairs.
        by_design: pairs with a training case's mask, or one made from it, which is no reason for suspicion.
    """
    found: list[tuple[float, NearestPair]] = []
    for space in spaces:
        order = np.argsort(space.pairs.distances, kind="stable")
        for i in [int(i) for i in order if space.name != MASK or names[i] not in by_design][:SHOWN]:
            nearest_case, distance = int(space.pairs.nearest[i]), float(space.pairs.distances[i])
            found.append((float(space.shares[i]), NearestPair(i, nearest_case, space.name, distance, space.smallest)))
    shown: dict[tuple[int, int], NearestPair] = {}
    for _, nearest_pair in sorted(found, key=lambda item: item[0]):
        shown.setdefault((nearest_pair.pair, nearest_pair.training), nearest_pair)
    return list(shown.values())


def draw_nearest_pairs(
    nearest_pairs: Sequence[tuple[NearestPair, ConformedCase, ConformedCase]], schema: LabelSchema, out: Path
) -> list[Path]:
    """Pictures of suspects in the report's ``nearest_pairs`` folder, in place of older ones.

    Args:
        nearest_pairs: each with its pair and its training case.
        schema: structures of the masks.
        out: the report's folder.

    Returns:
        Their paths in the report's folder.
    """
    names = []
    with atomic_folder(out / NEAREST_PAIRS) as folder:
        for number, (near, pair, training) in enumerate(nearest_pairs, 1):
            names.append(f"{number:02d}_{near.space}_{pair.case_id}.png")
            title = f"{near.space} distance {near.distance:.3g}; nearest held-out case to a training case "
            spacing = pair.grid.spacing_mm
            rows = [
                MosaicRow(pair.scaled[0], pair.label, spacing, f"synthetic: {pair.case_id}"),
                MosaicRow(training.scaled[0], training.label, spacing, f"training: {training.case_id}", pair.label),
            ]
            write_mosaic(folder / names[-1], rows, title=f"{title}{near.held_out:.3g}", schema=schema)
    return [Path(NEAREST_PAIRS) / name for name in names]


def _features(cases: Sequence[Likeness], training: Sequence[Likeness]) -> np.ndarray:
    return euclidean([c.pooled for c in cases], [t.pooled for t in training])


def _images(cases: Sequence[Likeness], training: Sequence[Likeness]) -> np.ndarray:
    return decorrelation([c.thumbnail for c in cases], [t.thumbnail for t in training])


def _masks(cases: Sequence[Likeness], training: Sequence[Likeness]) -> np.ndarray:
    return mask_distances([c.cells for c in cases], [t.cells for t in training])
