"""The GPU session: its parts keep to their time, go on where they stopped, and only a better generator is adopted."""

import json
import time
from pathlib import Path

import pytest
from gpu import adopt
from gpu.parts import LOG, Part, Session
from gpu.stage import LEAST_STEPS, steps_within

from lldm_aug.evaluation.goals import KID, MASK_CONSISTENCY
from lldm_aug.report.criterion import Criterion, judge

PROGRAM = """
import pathlib, sys, time
out = pathlib.Path(sys.argv[sys.argv.index("--out") + 1]); out.mkdir(parents=True, exist_ok=True)
(out / "{name}.json").write_text("[1]")
with (out / "{name}.calls").open("a") as calls: calls.write("x")
{then}
"""


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder whose package ``gpu`` stands before the real one in the parts' processes."""
    package = tmp_path / "modules" / "gpu"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    monkeypatch.setenv("PYTHONPATH", str(package.parent))
    return package


def _module(modules: Path, name: str, then: str) -> Part:
    (modules / f"{name}.py").write_text(PROGRAM.format(name=name, then=then))
    return Part(name, 30.0)


def test_every_part_runs_once_and_its_result_comes_back(modules: Path, tmp_path: Path) -> None:
    parts = [_module(modules, "first", ""), _module(modules, "second", "sys.exit(3)")]
    session = Session(tmp_path / "work", tmp_path / "out", 100)
    first = session.run(parts)
    assert first["first"] == "done"
    assert first["second"].startswith("exit code 3")
    _module(modules, "second", "")
    assert session.run(parts) == {"first": "done", "second": "done"}
    calls = [(tmp_path / "out" / f"{name}.calls").read_text() for name in ("first", "second")]
    assert calls == ["x", "xx"]
    assert (tmp_path / "out" / "first.json").read_text() == "[1]"
    assert "exit code 3" in (tmp_path / "out" / LOG).read_text()


def test_part_that_runs_over_is_stopped_with_what_it_has(modules: Path, tmp_path: Path) -> None:
    seconds = iter([0.0, 0.0, 0.0, 0.0, *map(float, range(1000))])  # a clock that runs ahead of the real one
    part = _module(modules, "slow", "time.sleep(600)")
    began = time.monotonic()
    outcome = Session(tmp_path / "work", tmp_path / "out", 100, clock=lambda: next(seconds)).run([part])
    assert outcome["slow"].startswith("stopped after")
    assert time.monotonic() - began < 60
    assert (tmp_path / "out" / "slow.json").exists()


def test_part_is_not_begun_without_time(modules: Path, tmp_path: Path) -> None:
    outcome = Session(tmp_path / "work", tmp_path / "out", 5).run([_module(modules, "late", "")])
    assert outcome["late"].startswith("not begun")
    assert not (tmp_path / "out" / "late.json").exists()


def test_steps_fill_the_time_and_no_more() -> None:
    assert 700 < steps_within(100, 0.1) <= 900
    assert steps_within(-5, 0.1) == LEAST_STEPS


def _figures(kid: float, consistency: float) -> list[Criterion]:
    return [judge(adopt.MASK_CONSISTENCY, MASK_CONSISTENCY, consistency, structure="liver"), judge(adopt.KID, KID, kid)]


def test_only_a_better_and_faithful_generator_is_adopted() -> None:
    old = _figures(138, 0.99)
    assert adopt.reasons_against(_figures(40, 0.96), old) == []
    assert "KID" in adopt.reasons_against(_figures(140, 0.96), old)[0]
    assert "liver is 0.900" in adopt.reasons_against(_figures(40, 0.9), old)[0]
    assert adopt.reasons_against([], old)


def test_page_of_figures_is_written_even_if_nothing_is_adopted(tmp_path: Path) -> None:
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "tests.json").write_text(json.dumps({"passed": 12, "device": "X"}))
    with pytest.raises(adopt.NotAdopted, match="no generator came back"):
        adopt.adopt(tmp_path / "results", tmp_path)
    assert "| passed | 12 |" in (tmp_path / adopt.PAGE).read_text()


def test_pieces_that_are_not_what_was_measured_are_refused(tmp_path: Path) -> None:
    (tmp_path / "generator.tar.00").write_bytes(b"no archive")
    with pytest.raises(adopt.NotAdopted, match="archive"):
        adopt.unpack(tmp_path, tmp_path, "0" * 64)
