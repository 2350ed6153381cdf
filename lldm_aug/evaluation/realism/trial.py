"""The test: trained on half of the patients, can a network tell painted from real lesions of the other half?

Real and painted lesions are matched in size, which alone must not tell them apart.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from lldm_aug.errors import DatasetError
from lldm_aug.evaluation.bootstrap import Interval, bootstrap
from lldm_aug.evaluation.realism import STEPS
from lldm_aug.evaluation.realism.classifier import scores, train_classifier
from lldm_aug.evaluation.realism.patches import Patch
from lldm_aug.seeds import Part, numpy_rng

SAME_SIZE = 1.25
"""Diameters of a pair differ by at most this factor."""

Pair = tuple[Patch, Patch]
"""A real patch and a painted one."""


def matched(real: Sequence[Patch], painted: Sequence[Patch], *seed: Part) -> list[Pair]:
    """Each painted lesion, in random order, with the real one of the nearest diameter that is left.

    What finds no partner is left out.
    """
    left = list(real)
    pairs = []
    for i in numpy_rng("matching", *seed).permutation(len(painted)):
        if not left:
            break
        patch = painted[int(i)]
        ratios = [abs(np.log(patch.diameter_mm / other.diameter_mm)) for other in left]
        nearest = int(np.argmin(ratios))
        if ratios[nearest] <= np.log(SAME_SIZE):
            pairs.append((left.pop(nearest), patch))
    return pairs


REPEATS = 2
"""Times that the patients are halved at random; each half is once for training and once for testing."""
FEWEST_PAIRS = 4
"""Lesions of each kind in each half, at least."""

Pairing = Callable[[frozenset[str], int], list[Pair]]
"""Real and painted patches of equal sizes of some patients, by the number of the halving."""


@dataclass(frozen=True)
class Training:
    """How networks are trained.

    Args:
        seed: decides every random number.
        steps: of the optimizer.
        device: where they run.
    """

    seed: int
    steps: int = STEPS
    device: str = "cpu"


@dataclass(frozen=True)
class Tested:
    """What a network said of the lesions of patients that it had not seen.

    Args:
        real: patients of the real lesions.
        painted: patients of the painted ones.
        wins: (painted, real) 1 where the painted lesion was taken for more painted than the real one, 0.5 for equals.
        pairs: the lesions.
    """

    real: tuple[str, ...]
    painted: tuple[str, ...]
    wins: np.ndarray
    pairs: list[Pair]

    def auc(self, weight: dict[str, float]) -> float:
        """Area under the ROC curve with each patient taken as often as its weight says; NaN without one of a kind."""
        real, painted = (np.array([weight[p] for p in patients]) for patients in (self.real, self.painted))
        total = real.sum() * painted.sum()
        return float(painted @ self.wins @ real / total) if total else float("nan")


def halves(patients: Sequence[str], repeat: int, seed: int) -> tuple[frozenset[str], frozenset[str]]:
    """The patients in two halves, drawn anew for each repeat."""
    ordered = sorted(patients)
    order = [ordered[int(i)] for i in numpy_rng("halves of patients", seed, repeat).permutation(len(ordered))]
    return frozenset(order[: len(order) // 2]), frozenset(order[len(order) // 2 :])


def run_trial(
    pairing: Pairing,
    patients: Sequence[str],
    arm: str,
    training: Training,
    progress: Callable[[], None] = lambda: None,
) -> list[Tested]:
    """Trains and tests on each half of each halving.

    Args:
        pairing: the lesions.
        patients: all of them.
        arm: what is tested.
        training: how.
        progress: called after each network.

    Raises:
        DatasetError: when a half has too few lesions.
    """
    found = []
    for repeat in range(REPEATS):
        sides = [pairing(half, repeat) for half in halves(patients, repeat, training.seed)]
        for number, (learned, testing) in enumerate((sides, sides[::-1])):
            _check_number(learned, arm)
            _check_number(testing, arm)
            seed = ("realism", arm, training.seed, repeat, number)
            network = train_classifier(*_kinds(learned), *seed, device=training.device, steps=training.steps)
            real, painted = _kinds(testing)
            a, b = (scores(network, patches, training.device) for patches in (real, painted))
            wins = (b[:, None] > a[None]) + 0.5 * (b[:, None] == a[None])
            found.append(Tested(_patients(real), _patients(painted), wins, testing))
            progress()
    return found


def area(tested: Sequence[Tested], *seed: int | str) -> Interval:
    """Mean area under the ROC curve, with its interval over resamples of the patients."""
    patients = sorted({patient for test in tested for patient in (*test.real, *test.painted)})

    def mean(counts: np.ndarray) -> float:
        weight = dict(zip(patients, counts.astype(float), strict=True))
        known = [value for test in tested if np.isfinite(value := test.auc(weight))]
        return float(np.mean(known)) if known else float("nan")

    return bootstrap(mean, [len(patients)], "realism", *seed)


def _kinds(pairs: Sequence[Pair]) -> tuple[list[Patch], list[Patch]]:
    return [real for real, _ in pairs], [painted for _, painted in pairs]


def _patients(patches: Sequence[Patch]) -> tuple[str, ...]:
    return tuple(patch.patient for patch in patches)


def _check_number(pairs: Sequence[Pair], arm: str) -> None:
    if len(pairs) < FEWEST_PAIRS:
        raise DatasetError(
            f"half of the patients have {len(pairs)} painted lesions with a real one of equal size; "
            f"{FEWEST_PAIRS} are needed",
            where=arm,
            fix="give more real cases, or a pool with more pairs",
        )
