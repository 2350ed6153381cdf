"""What an image and its mask show: signal of structures, texture of parenchyma, and vessels as trees."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import binary_erosion

from lldm_aug.anatomy.limits import LIVER, VESSELS
from lldm_aug.anatomy.measures import SPECK_VOXELS, component_sizes
from lldm_aug.data.structure_signal import CaseSignal
from lldm_aug.labels import LabelSchema
from lldm_aug.models.texture import high_pass_within
from lldm_aug.record import Record

MARGIN_VOXELS = 2
"""Parenchyma closer to vessels, lesions or the liver's rim is left out: partial volume there is no texture."""
FEWEST_VOXELS = 64


@dataclass(frozen=True)
class SignalShift:
    """How synthetic cases differ from real ones in one structure.

    Args:
        mean: difference of the mean, in standard deviations of the real voxels within a case.
        deviation: difference of the voxels' standard deviation, in the same unit.
        mean_between_cases: difference of the mean, in standard deviations of the real cases' means.
        real_cases: real cases that show the structure.
        synthetic_cases: synthetic ones.
    """

    mean: float
    deviation: float
    mean_between_cases: float
    real_cases: int
    synthetic_cases: int


def signal_shift(
    real: Sequence[CaseSignal], synthetic: Sequence[CaseSignal], structure: str, channel: int = 0
) -> SignalShift:
    """Synthetic minus real for one structure in one channel, cases counting alike; NaN where either side lacks it."""
    real_means, real_deviations = _series(real, structure, channel)
    means, deviations = _series(synthetic, structure, channel)
    if not len(real_means) or not len(means):
        nan = float("nan")
        return SignalShift(nan, nan, nan, len(real_means), len(means))
    unit = _root_mean_square(real_deviations) or float("nan")
    between = float(real_means.std(ddof=1)) if len(real_means) > 1 else 0.0
    shift = float(means.mean() - real_means.mean())
    return SignalShift(
        mean=shift / unit,
        deviation=_root_mean_square(deviations) / unit - 1,
        mean_between_cases=shift / (between or float("nan")),
        real_cases=len(real_means),
        synthetic_cases=len(means),
    )


def liver_to_vessel(image: np.ndarray, label: np.ndarray, schema: LabelSchema) -> float:
    """Mean signal of liver parenchyma over that of all vessels, first channel of a (C, X, Y, Z) image in its own units.

    NaN where either is missing.
    """
    vessels = [value for name, value in schema.values.items() if name in VESSELS]
    if LIVER not in schema.names:
        return float("nan")
    bright, dark = image[0][label == schema.value(LIVER)], image[0][np.isin(label, vessels)]
    if not bright.size or not dark.size or dark.mean() <= 0:
        return float("nan")
    return float(bright.mean() / dark.mean())


def parenchyma_texture(image: np.ndarray, label: np.ndarray, schema: LabelSchema) -> float:
    """Standard deviation of the high-pass part of liver parenchyma.

    Only parenchyma takes part in the smoothing (see `high_pass_within`): otherwise dark vessels two voxels away would
    lend it twice as much again (measured on phantoms), and blurred edges would pass for lively parenchyma.

    Args:
        image: (C, X, Y, Z) scaled intensities; channels are averaged as variances.
        label: (X, Y, Z) integers.
        schema: what they stand for.

    Returns:
        NaN without a liver in the schema, or with too little of it away from other structures.
    """
    if LIVER not in schema.names:
        return float("nan")
    inside = binary_erosion(label == schema.value(LIVER), iterations=MARGIN_VOXELS)
    if np.count_nonzero(inside) < FEWEST_VOXELS:
        return float("nan")
    return float(np.sqrt(np.mean([high_pass_within(channel, inside).var() for channel in image])))


class Tree(Record):
    """One vessel of one case.

    Args:
        components: connected components (neighbours by face, edge or corner), specks of fewer than 4 voxels left out.
        largest: share of its voxels in the largest connected component.
    """

    components: int
    largest: float


def vessels_of(schema: LabelSchema) -> tuple[str, ...]:
    """The vessels among the structures of a schema."""
    return tuple(name for name in schema.names if name in VESSELS)


def trees(label: np.ndarray, schema: LabelSchema) -> dict[str, Tree]:
    """The vessels that a mask (X, Y, Z) shows."""
    sizes = {name: component_sizes(label == schema.value(name)) for name in vessels_of(schema)}
    return {
        name: Tree(components=int((found >= SPECK_VOXELS).sum()), largest=float(found[0] / found.sum()))
        for name, found in sizes.items()
        if len(found)
    }


def _series(cases: Sequence[CaseSignal], structure: str, channel: int) -> tuple[np.ndarray, np.ndarray]:
    """Means and deviations of the cases that show a structure."""
    shown = [case for case in cases if structure in case.mean]
    means = np.array([case.mean[structure][channel] for case in shown])
    return means, np.array([case.deviation[structure][channel] for case in shown])


def _root_mean_square(values: np.ndarray) -> float:
    return float(np.sqrt((values**2).mean()))
