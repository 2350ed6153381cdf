"""What a referee sees in an image: computed once, and kept under a hash of image, mask and referee."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from lldm_aug.evaluation.conformed import ConformedCase
from lldm_aug.evaluation.faithfulness import RefereeScore, score, segmentation
from lldm_aug.evaluation.fidelity.trees import Tree, trees, vessels_of
from lldm_aug.io.atomic import append_json_line, read_json_lines
from lldm_aug.labels import LabelSchema
from lldm_aug.metrics.centre_line import cl_dice
from lldm_aug.record import Record
from lldm_aug.report.criterion import finite
from lldm_aug.synthesis.referee import Referee

FILE = "referee.jsonl"


class Judgement(Record):
    """A referee's segmentation of one image, against its mask.

    Args:
        key: of what was judged by whom.
        dice: by structure; None where neither mask nor referee has it.
        present: structures that the mask holds.
        centre_lines: clDice of each vessel, likewise.
        trees: vessels that the referee found.
    """

    key: str
    dice: dict[str, float | None]
    present: tuple[str, ...]
    centre_lines: dict[str, float | None]
    trees: dict[str, Tree]

    @property
    def score(self) -> RefereeScore:
        """The overlaps alone."""
        return RefereeScore({name: _nan(value) for name, value in self.dice.items()}, frozenset(self.present))

    def centre_line(self, vessel: str) -> float:
        """ClDice of a vessel that the mask holds; NaN if it doesn't."""
        return _nan(self.centre_lines[vessel]) if vessel in self.present else float("nan")


class Judge:
    """A referee and what it has found so far.

    Args:
        referee: who segments.
        schema: of the masks.
        folder: where its findings are kept.
    """

    def __init__(self, referee: Referee, schema: LabelSchema, folder: Path) -> None:
        self.referee = referee
        self.schema = schema
        self.path = folder / FILE
        folder.mkdir(parents=True, exist_ok=True)
        known = (Judgement.model_validate(line) for line in read_json_lines(self.path))
        self.known = {judgement.key: judgement for judgement in known}

    def judge(self, case: ConformedCase) -> Judgement:
        """Segments a case, unless that was done before."""
        key = self._key(case)
        if key not in self.known:
            self.known[key] = self._judge(case, key)
            append_json_line(self.path, self.known[key].model_dump(mode="json"))
        return self.known[key]

    def _judge(self, case: ConformedCase, key: str) -> Judgement:
        found = segmentation(self.referee, case, self.schema)
        scored = score(found, case, self.schema)
        lines = {}
        for name in vessels_of(self.schema):
            value = self.schema.value(name)
            lines[name] = finite(cl_dice(found == value, case.label == value))
        return Judgement(
            key=key,
            dice={name: finite(value) for name, value in scored.dice.items()},
            present=tuple(name for name in self.schema.names if name in scored.present),
            centre_lines=lines,
            trees=trees(found, self.schema),
        )

    def _key(self, case: ConformedCase) -> str:
        digest = hashlib.sha256(f"{self.referee.hash} {self.schema.names} {case.grid.spacing_mm}".encode())
        for data in (case.raw, case.label):
            digest.update(f"{data.shape}".encode())
            digest.update(np.ascontiguousarray(data).tobytes())
        return digest.hexdigest()


def _nan(value: float | None) -> float:
    return float("nan") if value is None else value
