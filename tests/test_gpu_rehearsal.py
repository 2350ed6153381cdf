"""The GPU session's rehearsal, in an environment with what a bare GPU machine has and the carried wheels."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
ON_THE_MACHINE = (
    "torch==2.11.*",
    *("accelerate", "safetensors", "huggingface-hub", "requests", "regex", "httpx", "tqdm"),
    *("numpy", "scipy", "scikit-image", "matplotlib", "pillow", "pyyaml", "jinja2", "markupsafe"),
    *("pytest", "pytest-timeout", "markdown-it-py", "pygments", "zipp"),
)
"""What the session uses of the packages of such a machine."""
SECONDS = 1200


def _works(python: str) -> bool:
    return subprocess.run([python, "-c", "import ensurepip, venv"], capture_output=True, check=False).returncode == 0


def _bare_python(folder: Path) -> tuple[Path, str]:
    """A new environment's interpreter, of Python 3.12 if there is one, and its version."""
    found = [shutil.which("python3.12"), *Path.home().glob(".pyenv/versions/3.12*/bin/python3.12")]
    chosen = next((str(path) for path in found if path and _works(str(path))), sys.executable)
    subprocess.run([chosen, "-m", "venv", str(folder)], check=True)
    python = folder / "bin" / "python"
    code = "import sys; print('%d.%d' % sys.version_info[:2])"
    return python, subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_rehearsal(tmp_path: Path) -> None:
    python, version = _bare_python(tmp_path / "venv")
    install = [str(python), "-m", "pip", "install", "--quiet", *ON_THE_MACHINE]
    if subprocess.run(install, check=False).returncode:
        pytest.skip("the packages of such a machine cannot be installed here")
    tools = {"FIGURES": "1", "WHEELS": str(tmp_path / "wheels"), "PYTHON": str(python), "OUT": str(tmp_path / "out")}
    environment = {**os.environ, **tools, "WORK": str(tmp_path / "work"), "SECONDS_IN_ALL": str(SECONDS)}
    environment["PATH"] = f"{python.parent}:{environment['PATH']}"
    scripts = REPOSITORY / "tests" / "gpu"
    subprocess.run([scripts / "wheels.sh", version], env=environment, check=True)
    done = subprocess.run(
        [scripts / "run.sh", "--rehearse"], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    results = {path.name for path in (tmp_path / "out").iterdir()}
    assert {
        "tests.json",
        "paper.json",
        "embed.json",
        "generator.tar.00",
        "pictures.png",
        "mask_consistency.png",
        "log.txt",
    } <= results
    assert len(results) <= 8
    assert all((tmp_path / "out" / name).stat().st_size < 16 * 2**20 for name in results)
    report = json.loads((tmp_path / "out" / "embed.json").read_text())
    assert report["generator"] == report["new_hash"]
    assert report["new"]
    assert report["old"]
