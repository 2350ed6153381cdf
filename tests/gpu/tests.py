"""Part ``tests``: ``pytest -m gpu`` on this folder; ``tests.json`` says after each test what became of it."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch

from gpu.parts import part_arguments
from lldm_aug.io.atomic import write_json

HERE = Path(__file__).parent
NAME = "tests.json"
MOST_CHARACTERS = 6000
"""Of a failing test's message: the end of it."""


@dataclass
class Progress:
    """A pytest plugin that keeps ``tests.json`` up to date.

    Args:
        path: the file.
        tests: by name what became of tests, of earlier calls too.
        wanted: how many tests there are, once they have been collected.
    """

    path: Path
    tests: dict[str, dict[str, Any]] = field(default_factory=dict)
    wanted: int = 0

    @property
    def done(self) -> bool:
        """Whether all tests have passed."""
        return self.wanted > 0 and sum(test["outcome"] == "passed" for test in self.tests.values()) == self.wanted

    @pytest.hookimpl(trylast=True)  # after -m has chosen
    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        """Leaves out what has passed in an earlier call."""
        self.wanted = len(items)
        passed = [item for item in items if self._passed(item)]
        items[:] = [item for item in items if item not in passed]
        config.hook.pytest_deselected(items=passed)

    def _passed(self, item: pytest.Item) -> bool:
        return self.tests.get(_name(item.nodeid), {}).get("outcome") == "passed"

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Adds one phase of a test: set-up, call or tear-down."""
        test = {} if report.when == "setup" else self.tests[_name(report.nodeid)]
        self.tests[_name(report.nodeid)] = test
        test["seconds"] = round(test.get("seconds", 0.0) + report.duration, 2)
        test |= {"measured": dict(report.user_properties)} if report.user_properties else {}
        if report.when == "call" or report.outcome != "passed":
            test["outcome"] = report.outcome
        if report.outcome != "passed":
            test["message"] = str(report.longrepr)[-MOST_CHARACTERS:]
        if report.when == "teardown":
            self.write()

    def write(self) -> None:
        """Writes everything known so far."""
        outcomes = [test.get("outcome", "unknown") for test in self.tests.values()]
        counts = {name: outcomes.count(name) for name in sorted({*outcomes})}
        cuda = torch.cuda.is_available()
        write_json(
            self.path,
            {
                "torch": torch.__version__,
                "device": torch.cuda.get_device_name(0) if cuda else "cpu",
                "rehearsal": bool(os.environ.get("LLDM_AUG_REHEARSE")),
                "wanted": self.wanted,
                "counts": counts,
                "tests": self.tests,
            },
        )


def _name(nodeid: str) -> str:
    """File and test, wherever pytest was started."""
    path, _, test = nodeid.partition("::")
    return f"{Path(path).name}::{test}"


def main() -> int:
    """Runs what has not passed yet; 0 when everything has."""
    arguments = part_arguments(__doc__ or "")
    if arguments.rehearse:
        os.environ["LLDM_AUG_REHEARSE"] = "1"
    path = arguments.out / NAME
    before = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    if before.get("rehearsal") != arguments.rehearse:
        before = {}
    progress = Progress(path, before.get("tests", {}), before.get("wanted", 0))
    if progress.done:
        return 0
    quiet = [
        "-p",
        "no:xdist",
        "-p",
        "no:cacheprovider",
        "-o",
        "addopts=",
        "-o",
        "junit_family=xunit1",
        "-q",
        "--tb=short",
    ]
    files = [f"--junitxml={arguments.work / 'junit.xml'}", f"--basetemp={arguments.work / 'pytest'}"]
    code = pytest.main([str(HERE), "-m", "gpu", *quiet, *files], plugins=[progress])
    progress.write()
    return 0 if progress.done else int(code) or 1


if __name__ == "__main__":
    sys.exit(main())
