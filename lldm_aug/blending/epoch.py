"""The current epoch, seen by data-loading workers that are already running."""

from __future__ import annotations

import ctypes
from multiprocessing.context import get_spawning_popen
from multiprocessing.sharedctypes import RawValue
from typing import Any


class SharedEpoch:
    """A number in shared memory: set in the main process, read in workers (forked, spawned or persistent).

    Pickled outside the start of a process it becomes an independent copy. A 64-bit store is atomic, so no lock is
    needed (a lock would also tie it to one start method).
    """

    def __init__(self, value: int = 0) -> None:
        self._number = RawValue(ctypes.c_int64, value)

    def get(self) -> int:
        """The current epoch."""
        return int(self._number.value)

    def set(self, value: int) -> None:
        """Changes it for every process that shares it."""
        self._number.value = value

    def __getstate__(self) -> object:
        return (self.get(),) if get_spawning_popen() is None else self._number

    def __setstate__(self, state: Any) -> None:
        self._number = RawValue(ctypes.c_int64, *state) if isinstance(state, tuple) else state
