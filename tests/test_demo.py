"""The demo: its commands, what it says when one fails, and the whole chain for real."""

import json
import sysconfig
from pathlib import Path

import pytest
from click.testing import CliRunner

from lldm_aug import demo
from lldm_aug.cli import main
from lldm_aug.demo import CONFIGURATION, Demo, DemoFailed, Step


def test_dry_run_lists_the_commands_and_writes_nothing(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["demo", "--dry-run", "--out", str(tmp_path / "d")])
    assert result.exit_code == 0
    assert "nnUNetv2_train 700" in result.output
    assert "-tr nnUNetTrainerAdam1en3LLDMAug" in result.output
    assert not (tmp_path / "d").exists()


def test_failing_step_names_its_log_and_quotes_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = Step("nothing", ("python", "-c", "raise SystemExit('no such thing')"), tmp_path / "never")
    monkeypatch.setattr(Demo, "steps", lambda self: [broken])
    with pytest.raises(DemoFailed, match=r"1_python\.log: nothing: exit code 1: .*no such thing"):
        list(Demo(tmp_path, "cpu").run())


def test_done_steps_are_not_run_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "there").touch()
    monkeypatch.setattr(Demo, "steps", lambda self: [Step("x", ("false",), tmp_path / "there")])
    assert len(list(Demo(tmp_path, "cpu").run())) == 1


@pytest.mark.slow
def test_whole_chain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not (Path(sysconfig.get_path("scripts")) / "lldm-aug").exists():
        pytest.skip("lldm_aug is not installed here")
    monkeypatch.setattr(demo, "EPOCHS", 1)
    monkeypatch.setattr(demo, "ITERATIONS", 2)
    chain = Demo(tmp_path, "cpu")
    assert all(step.done.exists() for step, _ in chain.run())
    assert chain.finish().stat().st_size > 10_000
    synthetic, drawn = chain.synthetic_share()
    assert (synthetic, drawn) == (2, 4)
    scores = json.loads((tmp_path / "scores.json").read_text())
    assert set(scores) == {"phantom_0000", "phantom_0001"}
    plans = json.loads((chain.preprocessed / "nnUNetPlans.json").read_text())
    assert plans["configurations"][CONFIGURATION]["inherits_from"] == "3d_fullres"
