"""Runs the parts of the GPU session one after the other, each within its time; see README.md."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from lldm_aug.io.atomic import write_json

GRACE_SECONDS = 10.0
"""Between SIGTERM and SIGKILL: time to write what a part has."""
LEAST_SECONDS = 20.0
"""With less time left a part is not begun."""
LOOK_SECONDS = 0.2
"""Between two looks at a part that runs."""
SUMMARY = "parts.json"
LOG = "log.txt"
Clock = Callable[[], float]


@dataclass(frozen=True)
class Part:
    """One thing to run.

    Args:
        name: of its module ``gpu.NAME`` and of its result ``NAME.json``.
        seconds: that it may take; None for all that is left.
    """

    name: str
    seconds: float | None


PARTS = (Part("tests", 90), Part("paper", 90), Part("embed", None))
REHEARSAL_FACTOR = 6
"""Two CPU cores take so much longer for tiny sizes than a GPU for real ones, at most."""


@dataclass(frozen=True)
class Session:
    """The parts of one call.

    Args:
        work: scratch that later calls on the same machine find again.
        out: what comes back from the machine.
        seconds: that the whole call may take.
        rehearse: tiny sizes, on the CPU.
        clock: seconds on a clock that never goes back.
    """

    work: Path
    out: Path
    seconds: float
    rehearse: bool = False
    clock: Clock = time.monotonic

    def run(self, parts: Sequence[Part]) -> dict[str, str]:
        """Runs what is not done yet; returns what became of each part."""
        for folder in (self.work, self.out):
            folder.mkdir(parents=True, exist_ok=True)
        began, outcomes = self.clock(), _read(self.work / SUMMARY)
        for part in parts:
            if outcomes.get(part.name) != "done":
                left = self.seconds - (self.clock() - began)
                own = left if part.seconds is None else part.seconds * (REHEARSAL_FACTOR if self.rehearse else 1)
                outcomes[part.name] = self._run(part, min(left, own))
            self._copy_results()
            write_json(self.work / SUMMARY, outcomes)
        return {part.name: outcomes[part.name] for part in parts}

    def _run(self, part: Part, seconds: float) -> str:
        """Runs one part; returns ``done``, or what happened instead."""
        if seconds < LEAST_SECONDS:
            return "not begun: no time was left"
        words = ["--work", str(self.work / part.name), "--out", str(self.work / "results"), "--seconds", f"{seconds:g}"]
        command = [sys.executable, "-u", "-m", f"gpu.{part.name}", *words, *(["--rehearse"] if self.rehearse else [])]
        with (self.out / LOG).open("a", encoding="utf-8") as log:
            print(f"== {part.name}: at most {seconds:.0f} s", file=log, flush=True)
            began = self.clock()
            code = self._wait(subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True), seconds)
            taken = self.clock() - began
            print(f"== {part.name}: {taken:.0f} s, exit code {code}", file=log, flush=True)
        if code == 0:
            return "done"
        return f"stopped after {taken:.0f} s" if code is None else f"exit code {code} after {taken:.0f} s"

    def _wait(self, process: subprocess.Popen[bytes], seconds: float) -> int | None:
        """The exit code of a process, or None if it had to be stopped, with all that it started."""
        end = self.clock() + seconds
        while process.poll() is None and self.clock() < end:
            time.sleep(LOOK_SECONDS)
            self._copy_results()  # now, and not at the end: the machine may go away
        if process.poll() is not None:
            return process.returncode
        os.killpg(process.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(GRACE_SECONDS)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return None

    def _copy_results(self) -> None:
        """Brings what there is so far to the results that come back, which an earlier call on the machine began."""
        for path in sorted((self.work / "results").glob("*")):
            target = self.out / path.name
            if path.suffix == ".partial" or (target.exists() and target.stat().st_mtime_ns >= path.stat().st_mtime_ns):
                continue
            temporary = target.with_name(f"{target.name}.partial")
            shutil.copy2(path, temporary)
            temporary.replace(target)


def _read(path: Path) -> dict[str, str]:
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else {}


def part_arguments(description: str) -> argparse.Namespace:
    """What every part is called with; ends the process where there is neither a GPU nor a rehearsal."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--work", type=Path, required=True, help="scratch, kept between calls")
    parser.add_argument("--out", type=Path, required=True, help="where results go")
    parser.add_argument("--seconds", type=float, required=True, help="time that there is")
    parser.add_argument("--rehearse", action="store_true", help="tiny sizes, on the CPU")
    arguments = parser.parse_args()
    import torch  # not above: who runs the parts does without

    if not torch.cuda.is_available() and not arguments.rehearse:
        sys.exit("there is no CUDA device: run it where there is one, or with --rehearse")
    for folder in (arguments.work, arguments.out):
        folder.mkdir(parents=True, exist_ok=True)
    return arguments


def main() -> int:
    """Runs the chosen parts, all of them if none is named; 0 if all are done."""
    parser = argparse.ArgumentParser(description=__doc__)
    names = [part.name for part in PARTS]
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(names)}; all if none is named")
    parser.add_argument("--work", type=Path, required=True, help="scratch, kept between calls")
    parser.add_argument("--out", type=Path, required=True, help="what comes back")
    parser.add_argument("--seconds", type=float, default=570.0, help="time of the whole call")
    parser.add_argument("--rehearse", action="store_true", help="tiny sizes, on the CPU")
    arguments = parser.parse_args()
    if unknown := sorted({*arguments.parts} - {*names}):
        parser.error(f"unknown part {', '.join(unknown)}; there are {', '.join(names)}")
    session = Session(arguments.work, arguments.out, arguments.seconds, arguments.rehearse)
    outcomes = session.run([part for part in PARTS if not arguments.parts or part.name in arguments.parts])
    print("\n".join(f"{name}: {outcome}" for name, outcome in outcomes.items()))
    return 0 if all(outcome == "done" for outcome in outcomes.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
