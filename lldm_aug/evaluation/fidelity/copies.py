"""Whether pairs copy training cases: image and mask, against the distances that held-out real cases have.

A generator that copies nothing makes pairs that lie as far from the training cases as other real cases do. The rule:

- ``copies``: a pair's distance to its nearest training case is below half the smallest of any held-out real case;
- ``too close``: no such pair, but distances as a whole are smaller than those of held-out cases (one-sided
  Mann-Whitney test, p < 0.01);
- ``no sign of copies``: neither.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import mannwhitneyu

from lldm_aug.evaluation.copies import Neighbours, decorrelation, euclidean, nearest
from lldm_aug.evaluation.fidelity.run import Original
from lldm_aug.evaluation.mask_copies import cell_distance
from lldm_aug.record import Record
from lldm_aug.report.criterion import finite
from lldm_aug.report.table import Cell, Table

COPY_SHARE = 0.5
"""Share of the smallest distance of held-out cases below which a pair is called a copy."""
CHANCE = 0.01
COPIES, TOO_CLOSE, NONE = "copies", "too close", "no sign of copies"
SEVERITY = (NONE, TOO_CLOSE, COPIES)
MASK = "mask"
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


def find_spaces(pairs: Sequence[Original], held_out: Sequence[Original], training: Sequence[Original]) -> list[Space]:
    """The nearest training case of each pair and each held-out case, by three distances.

    Between features of the image, averaged over slices; 1 - correlation of small images; and of masks, whatever their
    place (see `lldm_aug.evaluation.mask_copies`).
    """
    return [
        Space("features", *(nearest(_features(cases, training)) for cases in (pairs, held_out))),
        Space("image", *(nearest(_images(cases, training)) for cases in (pairs, held_out))),
        Space(MASK, *(nearest(_masks(cases, training)) for cases in (pairs, held_out))),
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
    if not len(distances):
        return CopyVerdict(
            space=space.name,
            verdict=None,
            judged=0,
            copies=0,
            nearer_than_any=0,
            smallest_share=None,
            p=None,
            by_design=len(by_design),
        )
    p = float(mannwhitneyu(distances, space.held_out.distances, alternative="less").pvalue)
    copied = int((shares < COPY_SHARE).sum())
    return CopyVerdict(
        space=space.name,
        verdict=COPIES if copied else TOO_CLOSE if p < CHANCE else NONE,
        judged=len(distances),
        copies=copied,
        nearer_than_any=int((shares < 1).sum()),
        smallest_share=finite(float(shares.min())),
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


def _features(cases: Sequence[Original], training: Sequence[Original]) -> np.ndarray:
    return euclidean([c.fingerprint.pooled for c in cases], [t.fingerprint.pooled for t in training])


def _images(cases: Sequence[Original], training: Sequence[Original]) -> np.ndarray:
    return decorrelation([c.fingerprint.thumbnail for c in cases], [t.fingerprint.thumbnail for t in training])


def _masks(cases: Sequence[Original], training: Sequence[Original]) -> np.ndarray:
    return np.array([[cell_distance(c.cells, t.cells) for t in training] for c in cases])
