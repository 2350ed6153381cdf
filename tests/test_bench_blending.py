"""``lldm-aug bench blending`` on a tiny project; what it finds on real ones is in docs/results/blending.md."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from nnunet_project import NAME, Project, prepare

from nnunet_integration.overhead import hook_seconds


@pytest.mark.slow
def test_blending_is_measured_against_nnunet(project: Project, tmp_path: Path) -> None:
    """Every figure is judged, and the results of trainings stay as they were."""
    shutil.rmtree(project.preprocessed / "lldm_aug", ignore_errors=True)  # one set alone need not be named
    prepare("700", project.pool, "3d_fullres", fold=0, allow_leakage=True)
    before = sorted((project.root / "nnUNet_results").rglob("*"))
    command = ["bench", "blending", "-d", "700", "-c", "3d_fullres", "--iterations", "8", "--out", str(tmp_path)]
    said = subprocess.run([sys.executable, "-m", "lldm_aug", *command], capture_output=True, text=True)
    assert said.returncode == 0, said.stderr
    results = json.loads((tmp_path / "blending.json").read_text())
    assert results["dataset"] == NAME
    values = {criterion["figure"]: criterion["value"] for criterion in results["criteria"]}
    assert (
        [name for name, value in values.items() if value is None] == [] if hook_seconds(1) else ["start-up hook [ms]"]
    )
    assert 0.5 < values["3d_fullres: time of an iteration, ours / stock"] < 2
    assert all(name in said.stdout for name in values)
    assert sorted((project.root / "nnUNet_results").rglob("*")) == before
