"""How long a stage was trained."""

from __future__ import annotations

from pathlib import Path

from lldm_aug.io.atomic import read_json_lines


def trained_steps(folder: Path) -> int:
    """Steps that a stage has done, by the ``stats.jsonl`` in its folder; 0 without one."""
    return max((int(line["step"]) for line in read_json_lines(folder / "stats.jsonl")), default=0)


def trained_seconds(folder: Path) -> float:
    """Seconds that all its steps took, whatever the restarts; from the mean of those that were logged."""
    seconds = [float(line["seconds"]) for line in read_json_lines(folder / "stats.jsonl")]
    return trained_steps(folder) * sum(seconds) / len(seconds) if seconds else 0.0
