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
    return scatter(math.floor(batch_size * ratio + rng.random()), batch_size, rng)


def scatter(count: int, batch_size: int, rng: np.random.Generator) -> np.ndarray:
    """Puts this many synthetic items into random slots of a batch, (B,) bool."""
    return rng.permutation(np.arange(batch_size) < count)


def synthetic_between(seed: int, epoch: int, start: int, stop: int, rate: float) -> int:
    """How many synthetic items fall to places ``start`` to ``stop`` (excluded) of an epoch: a pure function.

    Among the first k places there are floor(k * rate + u) synthetic items, with a phase u that is uniform in [0, 1) and
    hashed from seed and epoch. So any stretch of n places has floor(n * rate + U) of them, with U uniform, as batches
    have in `synthetic_slots`: less than one off in an epoch, and exact on average over the epochs.

    Args:
        seed: seed of the blend.
        epoch: epoch; moves the phase of the pattern.
        start: first place.
        stop: place after the last.
        rate: synthetic items to each place; above 1 for more than one.
    """
    phase = derive_seed("blending phase", seed, epoch) / _SEED_RANGE
    return math.floor(stop * rate + phase) - math.floor(start * rate + phase)


def is_synthetic(seed: int, epoch: int, index: int, ratio: float) -> bool:
    """Whether an item of an epoch is synthetic, as `synthetic_between` says: each with probability ``ratio``."""
    return synthetic_between(seed, epoch, index, index + 1, ratio) > 0


def added_share(real: int, ratio: float) -> float:
    """How many synthetic items beside this many real ones make up the ratio, not yet rounded to items.

    Raises:
        ConfigError: for a ratio of 1, which no number of synthetic items reaches.
    """
    if ratio == 1:
        raise ConfigError("a ratio of 1 cannot be reached by adding to real items", fix="use mode 'replace'")
    return real * ratio / (1 - ratio)


def added_items(real: int, ratio: float) -> int:
    """How many synthetic items beside all the real ones make up the ratio.

    Raises:
        ConfigError: as `added_share`.
    """
    return round(added_share(real, ratio))


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
