"""Which weights of a stage are exported: the averaged ones that scored best, not those of the lowest loss.

Losses look flat while a ControlNet learns to obey the mask, and quality swings between checkpoints.
"""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from lldm_aug.errors import CheckpointError
from lldm_aug.io.atomic import append_json_line, atomic_folder, read_json_lines, write_text
from lldm_aug.io.records import read_record
from lldm_aug.io.weights import check_sums, load_tensors, save_tensors, write_sums
from lldm_aug.record import Record

log = logging.getLogger(__name__)

SCORES_FILE = "scores.jsonl"


class Score(Record):
    """How good some weights are.

    Args:
        value: what is compared; more is better.
        figures: what it was made of, by name.
    """

    value: float
    figures: dict[str, float]


class Chosen(Record):
    """Which weights scored best.

    Args:
        step: after which they were taken.
        score: theirs.
    """

    step: int
    score: Score


@dataclass(frozen=True)
class BestWeights:
    """The best-scoring averaged weights of a stage on disk (``checkpoints/best``), and the scores of all others.

    The folder outlives restarts and is never pruned. A restart repeats the steps after its checkpoint, and their
    scores with them: what is the best by then stays so.

    Args:
        folder: the stage's own folder.
    """

    folder: Path

    def offer(self, step: int, score: Score, average: Mapping[str, torch.Tensor]) -> None:
        """Records the score of a step, and keeps its weights if none scored better before."""
        append_json_line(self.folder / SCORES_FILE, {"step": step, "score": score.value, **score.figures})
        before = self.chosen()
        if before is not None and before.score.value >= score.value:
            return
        with atomic_folder(self._best) as temporary:
            save_tensors(temporary / "ema.safetensors", average)
            text = Chosen(step=step, score=score).model_dump_json()
            (temporary / "chosen.json").write_text(text, encoding="utf-8")
            write_sums(temporary)

    def fill(self, average: Mapping[str, torch.Tensor]) -> None:
        """Puts the best weights into an average; leaves it as it is if there are none."""
        if self.chosen() is not None:
            for name, tensor in load_tensors(self._best / "ema.safetensors").items():
                average[name].copy_(tensor)

    def chosen(self) -> Chosen | None:
        """Which weights are the best so far; None if there are none that are whole."""
        if not self._best.is_dir():
            return None
        try:
            check_sums(self._best)
            return read_record(Chosen, self._best / "chosen.json")
        except CheckpointError as error:
            log.warning("passing over damaged weights: %s", error)
            return None

    def forget_after(self, step: int) -> None:
        """Drops the scores of steps that come again, and at the beginning all that an earlier attempt left."""
        if step == 0:
            shutil.rmtree(self._best, ignore_errors=True)
        forget_lines_after(self.folder / SCORES_FILE, step)

    @property
    def _best(self) -> Path:
        return self.folder / "checkpoints" / "best"


def forget_lines_after(path: Path, step: int) -> None:
    """Drops lines of later steps from a JSON-lines file, if there is one."""
    if path.exists():
        kept = [line for line in read_json_lines(path) if line["step"] <= step]
        write_text(path, "".join(json.dumps(line) + "\n" for line in kept))
