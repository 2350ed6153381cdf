"""Wheel, editable install and source archive of a clean copy, in throwaway environments with this one's libraries."""

import os
import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
HOOK_FILES = {"_lldm_aug_nnunet.py", "lldm_aug_nnunet.pth", "lldm_aug_nnunet.start"}

pytest.importorskip("setuptools", "77")


def run(*command: object, **options: object) -> str:
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("nnUNet_", "PYTHON", "LLDM_AUG_"))}
    result = subprocess.run([str(c) for c in command], env=environment, capture_output=True, text=True, **options)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What git would check out: no build leftovers, no ignored files."""
    folder = tmp_path_factory.mktemp("clone")
    for name in run("git", "-C", ROOT, "ls-files", "-co", "--exclude-standard").splitlines():
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    return folder


def build(kind: str, source: Path, folder: Path) -> Path:
    """Calls a hook of the build backend (PEP 517, PEP 660) as an installer would."""
    call = (
        f"import sys; sys.path.insert(0, 'startup_hook'); import backend; print(backend.build_{kind}({str(folder)!r}))"
    )
    return folder / run(sys.executable, "-c", call, cwd=source).split()[-1]


@pytest.fixture(scope="module")
def wheel(clone: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("wheel", clone, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def editable(clone: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("editable", clone, tmp_path_factory.mktemp("editable"))


class Environment:
    """A new virtual environment; when code runs in it, it sees this one's libraries behind its own."""

    def __init__(self, folder: Path) -> None:
        venv.create(folder, with_pip=False)
        self.bin = folder / "bin"
        self.site = Path(
            run(self.bin / "python", "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip()
        )

    def pip(self, *arguments: object) -> None:
        run(sys.executable, "-m", "pip", "--python", self.bin / "python", *arguments)

    def run(self, command: str, *arguments: object) -> str:
        borrowed = self.site / "zz_borrowed.pth"  # not there while pip runs: it would meet this environment's lldm_aug
        self.site.mkdir(parents=True, exist_ok=True)  # pip removes the folder with its last file
        borrowed.write_text("\n".join(path for path in sys.path if path.endswith("site-packages")))
        try:
            return run(self.bin / command, *arguments, cwd=self.bin).strip()
        finally:
            borrowed.unlink()

    def evaluate(self, code: str) -> str:
        return self.run("python", "-c", code)

    def files(self) -> set[str]:
        return {str(p.relative_to(self.site)) for p in self.site.rglob("*") if p.is_file()}


@pytest.fixture
def environment(tmp_path: Path) -> Environment:
    return Environment(tmp_path / "env")


WHERE = (
    "import nnunet_integration as n, lldm_aug.resources as r; print(n.__file__, r.configs_dir(), r.pretrained_dir())"
)
EXT_TRAINER = "import os; print(os.environ.get('nnUNet_extTrainer'))"


def test_wheel_holds_every_package_and_the_hook(wheel: Path, clone: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    modules = {
        str(p.relative_to(clone)) for top in ("lldm_aug", "nnunet_integration") for p in (clone / top).rglob("*.py")
    }
    assert modules <= names
    assert names >= {*HOOK_FILES, "lldm_aug/py.typed", "nnunet_integration/py.typed"}
    assert not [n for n in names if n.startswith(("configs/", "pretrained/", "tests/", "startup_hook/"))]


def test_wheel_holds_the_presets_and_the_generator(wheel: Path, clone: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    for folder in ("configs", "pretrained"):
        files = [p for p in (clone / folder).rglob("*") if p.is_file() and not p.name.startswith(".")]
        assert {f"lldm_aug/{p.relative_to(clone)}" for p in files} <= names


def test_wheel_holds_the_reports_templates_and_viewer(wheel: Path, clone: Path) -> None:
    assets = clone / "lldm_aug" / "report" / "assets"
    files = {str(p.relative_to(clone)) for p in assets.rglob("*") if p.is_file()}
    assert any(name.endswith("niivue.umd.js") for name in files)
    assert files <= set(zipfile.ZipFile(wheel).namelist())


def test_wheel_install_works_and_uninstalls_clean(wheel: Path, environment: Environment) -> None:
    before = environment.files()
    environment.pip("install", "--no-deps", wheel)
    where = environment.evaluate(WHERE).split()
    assert all(Path(path).is_relative_to(environment.site) for path in where)
    assert environment.evaluate(EXT_TRAINER) == str(environment.site / "nnunet_integration" / "discover")
    environment.pip("uninstall", "-y", "lldm_aug")
    assert environment.files() == before
    assert environment.evaluate(EXT_TRAINER) == "None"


def test_editable_install_works_and_uninstalls_clean(editable: Path, clone: Path, environment: Environment) -> None:
    before = environment.files()
    environment.pip("install", "--no-deps", editable)
    where = environment.evaluate(WHERE).split()
    assert where == [str(clone / name) for name in ("nnunet_integration/__init__.py", "configs", "pretrained")]
    assert environment.evaluate(EXT_TRAINER) == str(clone / "nnunet_integration" / "discover")
    environment.pip("uninstall", "-y", "lldm_aug")
    assert environment.files() == before


def test_source_archive_builds_the_same_wheel(clone: Path, wheel: Path, tmp_path: Path) -> None:
    archive = build("sdist", clone, tmp_path)
    shutil.unpack_archive(archive, tmp_path, filter="data")
    rebuilt = build("wheel", tmp_path / archive.name.removesuffix(".tar.gz"), tmp_path)
    assert sorted(zipfile.ZipFile(rebuilt).namelist()) == sorted(zipfile.ZipFile(wheel).namelist())


def test_console_script_answers(wheel: Path, environment: Environment) -> None:
    environment.pip("install", "--no-deps", wheel)
    assert "Usage" in environment.run("lldm-aug", "--help")
    assert "Usage" in environment.run("python", "-m", "lldm_aug", "--help")


def test_metadata(wheel: Path, environment: Environment) -> None:
    import lldm_aug

    environment.pip("install", "--no-deps", wheel)
    fields = "d['Version'], d['License-Expression'], d['Requires-Python']"
    code = f"from importlib.metadata import metadata; d = metadata('lldm_aug'); print({fields})"
    assert environment.evaluate(code) == f"{lldm_aug.__version__} Apache-2.0 >=3.11"


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["wheel", "editable"])
def test_nnunet_finds_the_trainer_with_no_variable_set(
    kind: str, environment: Environment, request: pytest.FixtureRequest
) -> None:
    environment.pip("install", "--no-deps", request.getfixturevalue(kind))
    code = (
        "from nnunetv2.utilities.find_objects import recursive_find_trainer_class_by_name as find; import pickle;"
        "c = find('nnUNetTrainerLLDMAug'); assert pickle.loads(pickle.dumps(c)) is c; print(c.__module__)"
    )
    assert environment.evaluate(code).splitlines()[-1] == "nnunet_integration.trainer"
