"""Stopping well when asked to: SIGTERM (a cluster's preemption) and SIGINT (Ctrl-C)."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from lldm_aug.errors import LldmAugError

SHORT_SECONDS = 0.2


class Interrupted(LldmAugError):
    """Training stopped on a signal after it had saved its state; the exit code is the shell's, 128 + signal."""

    @classmethod
    def by(cls, number: int, step: int, folder: Path) -> Interrupted:
        """The error to raise after a step on a signal."""
        error = cls(
            f"stopped by signal {number} after step {step}; its checkpoint is saved",
            where=folder,
            fix="run the same command again to go on",
        )
        error.exit_code = 128 + number
        return error


class StopRequest:
    """Remembers the first signal that came."""

    def __init__(self) -> None:
        self.signal = 0

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """A signal handler."""
        self.signal = self.signal or number

    def wait(self, seconds: float) -> bool:
        """Waits for so long, or until a signal comes; returns whether one has come."""
        end = time.monotonic() + seconds
        while not self.signal and (left := end - time.monotonic()) > 0:
            time.sleep(min(left, SHORT_SECONDS))  # a longer sleep would go on after the signal's handler
        return bool(self.signal)


@contextmanager
def stop_requests() -> Iterator[StopRequest]:
    """Within it, SIGTERM and SIGINT are noted instead of ending the process at once."""
    request = StopRequest()
    before = {number: signal.signal(number, request) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
