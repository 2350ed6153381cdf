"""What packages above this one add to it: they name it in the entry points of their ``setup.cfg``."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import entry_points
from typing import Any

SEGMENTERS = "lldm_aug.segmenters"
"""Functions that load an evaluation segmenter from a folder; see
`lldm_aug.synthesis.evaluation_segmenter.LoadSegmenter`."""
ENGINES = "lldm_aug.engines"
"""What trains the networks of a study; see `lldm_aug.evaluation.utility.engine.Engine`."""


def plugins(group: str) -> Iterator[tuple[str, Any]]:
    """Name and object of each plugin of a group; imported when it is its turn."""
    for entry in sorted(entry_points(group=group), key=lambda entry: entry.name):
        yield entry.name, entry.load()
