"""How many, and which, items are synthetic: exact in expectation, and never far from it at any moment."""

from __future__ import annotations

import math

import numpy as np

from lldm_aug.errors import ConfigError
from lldm_aug.seeds import derive_seed

_SEED_RANGE = 2.0**63  # derive_seed gives 63 bits


def check_ratio(ratio: float, where: object = "ratio") -> float:
    """Returns the ratio as a float.

    Raises:
        ConfigError: when it is not within 0..1.
    """
    if not 0 <= ratio <= 1:
        raise ConfigError(f"{ratio!r} is not a share of synthetic items between 0 and 1", where=where)
    return float(ratio)


def synthetic_slots(batch_size: int, ratio: float, rng: np.random.Generator) -> np.ndarray:
    """Which slots of a batch are synthetic, (B,) bool.

    Their number is floor(B * ratio + U) with U uniform in [0, 1): its expectation is exactly B * ratio, and it is never
    more than one off. The slots are permuted, since frameworks treat slots differently (nnU-Net forces foreground in
    the last ones).
    """
    count = math.floor(batch_size * ratio + rng.random())
    slots = np.arange(batch_size) < count
    return rng.permutation(slots)


def is_synthetic(seed: int, epoch: int, index: int, ratio: float) -> bool:
    """Whether an item of an epoch is synthetic: a pure function of its arguments.

    Item k of an epoch with phase u (uniform in [0, 1), hashed from seed and epoch) is synthetic where
    floor(k * ratio + u) steps up. So among the first k items there are always k * ratio synthetic ones, less than one
    off, and over the epochs every item is synthetic with probability ``ratio``.
    """
    phase = derive_seed("blending phase", seed, epoch) / _SEED_RANGE
    return math.floor((index + 1) * ratio + phase) > math.floor(index * ratio + phase)


def added_items(real: int, ratio: float) -> int:
    """How many synthetic items make up a share of ``ratio`` beside all the real ones.

    Raises:
        ConfigError: for a ratio of 1, which no number of synthetic items reaches.
    """
    if ratio == 1:
        raise ConfigError("a ratio of 1 cannot be reached by adding to real items", fix="use mode 'replace'")
    return round(real * ratio / (1 - ratio))


def interleave(seed: int, epoch: int, index: int, real: int, added: int) -> tuple[bool, int]:
    """Spreads added items evenly between all real ones, which keep their order.

    Args:
        seed: seed of the blend.
        epoch: epoch; moves the phase of the pattern.
        index: place in the joint sequence of ``real + added`` items.
        real: number of real items.
        added: number of synthetic items.

    Returns:
        Whether the place is synthetic, and how many items of its kind come before it.
    """
    total = real + added
    phase = derive_seed("blending phase", seed, epoch) % total
    before = (index * added + phase) // total
    after = ((index + 1) * added + phase) // total
    return (True, before) if after > before else (False, index - before)
