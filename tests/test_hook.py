"""The start-up hook: adds one folder to ``nnUNet_extTrainer``, cheaply and silently, or not at all."""

import os
import py_compile
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
HOOK = ROOT / "startup_hook"
DISCOVER = str(ROOT / "nnunet_integration" / "discover")
REPORT = "import os, sys; print(os.environ.get('nnUNet_extTrainer')); print(sorted(sys.modules))"


def start(folder: Path, code: str = REPORT, **variables: str) -> str:
    """Runs code in an interpreter whose site-packages is the folder."""
    code = f"import site; site.addsitedir({str(folder)!r}); {code}"
    environment = {k: v for k, v in os.environ.items() if k not in ("nnUNet_extTrainer", "LLDM_AUG_NO_NNUNET_HOOK")}
    run = [sys.executable, "-S", "-c", code]
    result = subprocess.run(
        run,
        cwd="/",
        env={**environment, "PYTHONPATH": str(ROOT), **variables},
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stderr == ""
    return result.stdout


@pytest.fixture
def site_packages(tmp_path: Path) -> Path:
    for name in ("_lldm_aug_nnunet.py", "lldm_aug_nnunet.pth"):
        (tmp_path / name).write_bytes((HOOK / name).read_bytes())
    py_compile.compile(str(tmp_path / "_lldm_aug_nnunet.py"))  # as an installer does
    return tmp_path


def test_sets_the_search_path(site_packages: Path) -> None:
    assert start(site_packages).splitlines()[0] == DISCOVER


def test_appends_to_what_is_set(site_packages: Path) -> None:
    assert start(site_packages, nnUNet_extTrainer="/mine").splitlines()[0] == os.pathsep.join(["/mine", DISCOVER])


def test_child_processes_do_not_add_it_again(site_packages: Path) -> None:
    assert start(site_packages, nnUNet_extTrainer=DISCOVER).splitlines()[0] == DISCOVER


def test_can_be_switched_off(site_packages: Path) -> None:
    assert start(site_packages, LLDM_AUG_NO_NNUNET_HOOK="1").splitlines()[0] == "None"


def test_imports_nothing_of_the_package(site_packages: Path) -> None:
    modules = start(site_packages).splitlines()[1]
    assert "'_lldm_aug_nnunet'" in modules
    assert not any(name in modules for name in ("'lldm_aug'", "'nnunet_integration'", "'torch'", "'nnunetv2'"))


def test_silent_without_the_package(site_packages: Path) -> None:
    assert start(site_packages, PYTHONPATH="/nowhere").splitlines()[0] == "None"


def test_silent_when_only_its_module_was_deleted(site_packages: Path) -> None:
    (site_packages / "_lldm_aug_nnunet.py").unlink()
    assert start(site_packages).splitlines()[0] == "None"


def test_start_file_names_a_callable(site_packages: Path) -> None:
    entry = (HOOK / "lldm_aug_nnunet.start").read_text().strip()
    code = f"import pkgutil, os; pkgutil.resolve_name({entry!r})(); print(os.environ['nnUNet_extTrainer'])"
    assert start(site_packages, code).strip() == DISCOVER


def test_shim_is_harmless_in_an_environment_without_the_package() -> None:
    run = [sys.executable, "-I", "-S", str(Path(DISCOVER) / "lldm_aug_trainers.py")]
    assert subprocess.run(run, capture_output=True, text=True, check=True).stderr == ""
