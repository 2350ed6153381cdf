"""What the arms of a study are trained on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lldm_aug.blending.ratio import check_ratio
from lldm_aug.errors import ConfigError

REAL = "real"
REAL_AUG = "real-aug"
SYN = "syn"
SYN_ONLY = "syn-only"
AUTOENCODED = "autoencoded"
ARMS = {
    REAL: "the labelled real cases, the arm that all others are compared with",
    REAL_AUG: "the same with stronger classical augmentation",
    SYN: "real and synthetic cases, one arm for each ratio",
    SYN_ONLY: "synthetic cases alone",
    AUTOENCODED: "the real cases as the generator's autoencoder gives them back: its smoothing without new content",
}


@dataclass(frozen=True)
class Arm:
    """One arm.

    Args:
        kind: one of `ARMS`.
        ratio: share of synthetic cases that networks are shown.
    """

    kind: str
    ratio: float = 0.0

    def __str__(self) -> str:
        return f"{self.kind}@{self.ratio:g}" if self.kind == SYN else self.kind

    @property
    def synthetic(self) -> bool:
        """Whether it needs a pool."""
        return self.ratio > 0

    @property
    def generated(self) -> bool:
        """Whether a generator has a part in it."""
        return self.synthetic or self.kind == AUTOENCODED


def parse_arms(names: Sequence[str], ratios: Sequence[float]) -> tuple[Arm, ...]:
    """Arms by name, ``syn`` once for each ratio; the real arm comes first, whether it is named or not.

    Raises:
        ConfigError: for an unknown name, or a ratio that is not within 0..1 (0 and 1 have arms of their own).
    """
    arms = [Arm(REAL)]
    for name in names:
        if name not in ARMS:
            raise ConfigError(f"no arm {name!r}", where="--arms", fix=f"use {', '.join(ARMS)}")
        if name == SYN:
            arms += [Arm(SYN, _inner(ratio)) for ratio in ratios]
        else:
            arms.append(Arm(name, 1.0 if name == SYN_ONLY else 0.0))
    return tuple(dict.fromkeys(arms))


def _inner(ratio: float) -> float:
    if check_ratio(ratio, "--ratios") in (0, 1):
        raise ConfigError(f"{ratio:g} blends nothing", where="--ratios", fix="use the arms 'real' and 'syn-only'")
    return ratio
