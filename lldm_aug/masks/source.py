"""What every source of masks gives, and the bounded search for an anatomically valid one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeVar

from lldm_aug.errors import LabelError
from lldm_aug.labels import LabelSchema
from lldm_aug.masks.fitting import Fit, Fitted, as_drawn
from lldm_aug.pool.manifest import MaskOrigin
from lldm_aug.volume import Volume

MAX_DRAWS = 8
"""Most masks that are drawn for one case, and most real cases that are passed over for their own faults."""

T = TypeVar("T")


@dataclass(frozen=True)
class DrawnMask:
    """A mask to condition on.

    Args:
        label: (X, Y, Z) int16 on its own grid, as far as the generator's grid shows it.
        shown: the same on the generator's grid (see `Fitted`).
        origin: where it came from.
    """

    label: Volume
    shown: Volume
    origin: MaskOrigin

    @classmethod
    def of(cls, fitted: Fitted, origin: MaskOrigin) -> DrawnMask:
        """A fitted mask with its origin."""
        return cls(fitted.label, fitted.shown, origin)


class MaskSource(Protocol):
    """Draws masks; a draw depends on nothing but the source, the index, the seed and the grid that it is fitted to."""

    kind: str

    @property
    def schema(self) -> LabelSchema:
        """What the integers of its masks stand for."""

    def draw(self, index: int, seed: int, fit: Fit = as_drawn) -> DrawnMask:
        """The mask of case number ``index``, anatomically valid as it was drawn and as it was fitted.

        Raises:
            LabelError: when no draw within the bounds was anatomically valid.
        """
        ...


def first_valid(attempt: Callable[[int], tuple[T, list[str]]], where: object, draws: int = MAX_DRAWS) -> tuple[T, int]:
    """Calls ``attempt`` with 0, 1, ... until it reports no problems.

    Args:
        attempt: draws something, and says what is wrong with it.
        where: named in the error.
        draws: most attempts.

    Returns:
        What it gave, and how many attempts were rejected before.

    Raises:
        LabelError: after so many rejections, with the last problems.
    """
    problems: list[str] = []
    for rejected in range(draws):
        drawn, problems = attempt(rejected)
        if not problems:
            return drawn, rejected
    raise no_valid_mask(draws, problems, where)


def no_valid_mask(draws: int, problems: list[str], where: object) -> LabelError:
    """The error after so many masks, of which the last had these problems."""
    return LabelError(
        f"no valid mask in {draws} draws; the last had: {'; '.join(problems)}",
        where=where,
        fix="look at the masks of the data set, or use another kind of masks",
    )
