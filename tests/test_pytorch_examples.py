"""Each example in docs/examples/pytorch runs as a script, on a small pool and data set."""

from __future__ import annotations

import os
import runpy
import subprocess
import sys
from pathlib import Path

import pools
import pytest

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = sorted((ROOT / "docs" / "examples" / "pytorch").glob("*.py"))
PAGE = ROOT / "docs" / "how-to" / "pytorch.md"
PREPARED = ROOT / "docs" / "examples" / "pytorch" / "accelerate_prepare.py"
# torchrun behind --multi_gpu starts two processes, on CPUs as ACCELERATE_USE_CPU says.
OPTIONS = ("--multi_gpu", "--num_processes", "2", "--num_machines", "1", "--main_process_port", "0")
LAUNCH = ("-m", "accelerate.commands.launch", *OPTIONS)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where examples find ``pools/x`` and ``data``."""
    folder = tmp_path_factory.mktemp("examples")
    pools.write_pool(folder / "pools" / "x", cases=4)
    pools.write_dataset(folder / "data", cases=6)
    return folder


def run(folder: Path, *command: object) -> str:
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}
    arguments = [sys.executable, "-W", "ignore", *map(str, command)]
    done = subprocess.run(arguments, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("example", [path for path in EXAMPLES if path != PREPARED], ids=lambda path: path.stem)
def test_runs(folder: Path, example: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(folder)
    runpy.run_path(str(example), run_name="__main__")
    assert capsys.readouterr().out


def test_an_exact_share_for_each_of_two_processes(folder: Path) -> None:
    said = run(folder, *LAUNCH, PREPARED)
    assert said.count("4 batches on each of 2 process(es)") == 2


@pytest.mark.slow
def test_prepared_loaders_share_shuffled_items_and_streams(folder: Path) -> None:
    assert "all real items once" in run(folder, *LAUNCH, ROOT / "tests" / "prepared_loaders.py")


def test_every_example_is_short_and_shown() -> None:
    assert len(EXAMPLES) == 9
    assert [path.name for path in EXAMPLES if len(path.read_text(encoding="utf-8").splitlines()) > 40] == []
    page = PAGE.read_text(encoding="utf-8")
    assert [path.name for path in EXAMPLES if f"](../examples/pytorch/{path.name})" not in page] == []
