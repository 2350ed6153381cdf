"""The fraction of synthetic items as a function of the epoch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from lldm_aug.blending.ratio import check_ratio
from lldm_aug.errors import ConfigError

FORMS = "a share such as 0.5, 'linear START END [EPOCHS]' or 'pretrain EPOCHS [RATIO_AFTERWARDS]'"


@dataclass(frozen=True)
class Schedule:
    """A ratio for every epoch.

    Args:
        kind: ``constant``; ``linear`` from the first ratio to the last; ``pretrain`` jumps from the first to the last.
        first: ratio of epoch 0.
        last: ratio at the end.
        epochs: number of epochs; ``linear`` reaches the last ratio in the last of them, ``pretrain`` right after them.
    """

    kind: Literal["constant", "linear", "pretrain"]
    first: float
    last: float
    epochs: int = 1

    @classmethod
    def parse(cls, value: float | str, num_epochs: int) -> Schedule:
        """A schedule from a ratio or a text: ``0.5``, ``linear 1 0``, ``linear 1 0 300``, ``pretrain 200``.

        Args:
            value: the ratio or the text.
            num_epochs: length of the training, over which ``linear`` goes unless the text names another number.

        Raises:
            ConfigError: for anything else, or a ratio outside 0..1.
        """
        kind, *numbers = str(value).split() or [""]
        try:
            if kind == "linear" and len(numbers) in (2, 3):
                epochs = int(numbers[2]) if len(numbers) == 3 else num_epochs
                return cls("linear", check_ratio(float(numbers[0])), check_ratio(float(numbers[1])), _positive(epochs))
            if kind == "pretrain" and len(numbers) in (1, 2):
                last = check_ratio(float(numbers[1])) if len(numbers) == 2 else 0.0
                return cls("pretrain", 1.0, last, _positive(int(numbers[0])))
            if not numbers:
                return cls("constant", *2 * (check_ratio(float(kind)),))
        except ValueError:
            pass  # a number that is none: answered below
        raise ConfigError(f"{value!r} is no ratio", fix=f"give {FORMS}")

    def ratio(self, epoch: int) -> float:
        """Fraction of synthetic items in an epoch, counted from 0."""
        if self.kind == "pretrain":
            return self.first if epoch < self.epochs else self.last
        progress = min(epoch / max(self.epochs - 1, 1), 1.0)
        return self.first + (self.last - self.first) * progress

    @property
    def value(self) -> float | str:
        """The ratio or text from which `parse` makes this schedule, whatever the length of the training."""
        if self.kind == "constant":
            return self.first
        if self.kind == "linear":
            return f"linear {self.first:g} {self.last:g} {self.epochs}"
        return f"pretrain {self.epochs}" if self.last == 0 else f"pretrain {self.epochs} {self.last:g}"


def _positive(epochs: int) -> int:
    if epochs < 1:
        raise ConfigError(f"{epochs} is no number of epochs")
    return epochs
