"""Random numbers as pure functions of what they are for: (run seed, purpose, case, step), hashed.

No global generator is read anywhere in the package, so order of work, number of processes and restarts change no draw.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch

Part = int | str | float | None


def derive_seed(*parts: Part) -> int:
    """A 63-bit seed from any sequence of integers, strings and floats (SHA-256 of their JSON form)."""
    digest = hashlib.sha256(json.dumps(parts).encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1


def numpy_rng(*parts: Part) -> np.random.Generator:
    """A NumPy generator for this purpose alone."""
    return np.random.default_rng(derive_seed(*parts))


def torch_rng(*parts: Part) -> torch.Generator:
    """A CPU torch generator for this purpose alone (draw on the CPU, then move: the same on every device)."""
    import torch

    return torch.Generator().manual_seed(derive_seed(*parts))
