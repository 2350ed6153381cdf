"""The label schema: which integer in a mask stands for which structure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from lldm_aug.errors import LabelError

IGNORE = "ignore"


@dataclass(frozen=True)
class LabelSchema:
    """Structures of a data set, in the order of their integers 1..S (0 is background).

    Args:
        names: names of the structures; the first has label 1.
        ignore: integer of nnU-Net's ignore label (S + 1), if there is one.
    """

    names: tuple[str, ...]
    ignore: int | None = None

    @classmethod
    def from_dataset_json(cls, dataset: Mapping[str, Any], where: object = "dataset.json") -> LabelSchema:
        """Reads the ``labels`` of an nnU-Net ``dataset.json``; regions are resolved to the integers they are made of.

        Raises:
            LabelError: when ``labels`` is missing, the integers are not consecutive from 0 or two names share one, or
                ignore is not the last.
        """
        labels = dataset.get("labels")
        if not isinstance(labels, Mapping):
            raise LabelError("no 'labels' mapping of names to integers", where=where)
        by_value: dict[int, str] = {}
        for name, value in labels.items():
            values = list(value) if isinstance(value, (list, tuple)) else [value]
            if not values or not all(isinstance(v, int) and not isinstance(v, bool) and v >= 0 for v in values):
                raise LabelError(f"label {name!r} has value {value!r}; integers from 0 are needed", where=where)
            for v in values:
                if len(values) == 1 and by_value.get(v, f"label_{v}") != f"label_{v}":
                    raise LabelError(f"{by_value[v]!r} and {name!r} are both label {v}", where=where)
                if len(values) == 1:
                    by_value[v] = str(name)
                else:
                    by_value.setdefault(v, f"label_{v}")
        if sorted(by_value) != list(range(len(by_value))) or not by_value:
            raise LabelError(f"label integers {sorted(by_value)} are not consecutive from 0", where=where)
        ignore = labels.get(IGNORE)
        if ignore is not None and ignore != len(by_value) - 1:
            raise LabelError("'ignore' must be the highest label", where=where)
        names = tuple(by_value[v] for v in range(1, len(by_value)) if v != ignore)
        if not names:
            raise LabelError("no structure besides the background", where=where)
        return cls(names, ignore)

    @property
    def values(self) -> dict[str, int]:
        """Integer of each structure."""
        return {name: i + 1 for i, name in enumerate(self.names)}

    def value(self, name: str) -> int:
        """The integer of one structure.

        Raises:
            LabelError: for a name that the schema lacks.
        """
        if name not in self.names:
            raise LabelError(f"no structure {name!r}; there are {', '.join(self.names)}")
        return self.names.index(name) + 1

    def without(self, names: Collection[str]) -> LabelSchema:
        """The schema that is left when some structures are left out: integers move up, ignore stays the last.

        Raises:
            LabelError: for a name that the schema lacks, or when nothing is left.
        """
        for name in names:
            self.value(name)
        left = tuple(name for name in self.names if name not in names)
        if not left:
            raise LabelError(f"no structure is left of {', '.join(self.names)}")
        return LabelSchema(left, None if self.ignore is None else len(left) + 1)

    def to_dataset_json(self) -> dict[str, int]:
        """The ``labels`` entry of a ``dataset.json`` (without regions)."""
        labels = {"background": 0, **self.values}
        return labels if self.ignore is None else {**labels, IGNORE: self.ignore}

    def check(self, mask: np.ndarray, where: object) -> None:
        """Checks the values of an integer (X, Y, Z) mask.

        Raises:
            LabelError: names values outside the schema and how many voxels have them.
        """
        top = len(self.names) if self.ignore is None else self.ignore
        if mask.size and (mask.min() < 0 or mask.max() > top):
            values, counts = np.unique(mask[(mask < 0) | (mask > top)], return_counts=True)
            found = ", ".join(f"{v} ({n} voxels)" for v, n in zip(values[:8], counts[:8], strict=True))
            raise LabelError(
                f"labels outside the schema: {found}; allowed are 0..{top}",
                where=where,
                fix="correct the mask, or add the label to dataset.json",
            )


HBP = LabelSchema(("liver", "portal_vein", "hepatic_vein", "hcc"))
"""Hepatobiliary-phase default: 1 liver, 2 portal vein, 3 hepatic vein, 4 hepatocellular carcinoma."""
