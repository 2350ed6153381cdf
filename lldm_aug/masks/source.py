"""What every source of masks gives, and the bounded search for an anatomically valid one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeVar

from lldm_aug.errors import LabelError
from lldm_aug.labels import LabelSchema
from lldm_aug.pool.manifest import MaskOrigin
from lldm_aug.volume import Volume

MAX_DRAWS = 8

T = TypeVar("T")


@dataclass(frozen=True)
class DrawnMask:
    """A mask to condition on.

    Args:
        label: (X, Y, Z) int16 on its own grid.
        origin: where it came from.
    """

    label: Volume
    origin: MaskOrigin


class MaskSource(Protocol):
    """Draws masks; a draw depends on nothing but the source, the index and the seed."""

    kind: str

    @property
    def schema(self) -> LabelSchema:
        """What the integers of its masks stand for."""

    def draw(self, index: int, seed: int) -> DrawnMask:
        """The mask of case number ``index``.

        Raises:
            LabelError: when no draw within `MAX_DRAWS` was anatomically valid.
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
    raise LabelError(
        f"no valid mask in {draws} draws; the last had: {'; '.join(problems)}",
        where=where,
        fix="look at the masks of the data set, or use another kind of masks",
    )
