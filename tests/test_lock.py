"""One process at a time in a folder: refused at once by name, free when the holder has ended, however it ended."""

import errno
import fcntl
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from accelerate import Accelerator

from lldm_aug.errors import FolderInUse
from lldm_aug.io.lock import LOCK_FILE, locked
from lldm_aug.processes import held_by_main

HOLD = """
import sys, time
from pathlib import Path
from lldm_aug.io.lock import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""
BEGIN_ANOTHER = """
import subprocess, sys
from pathlib import Path
from lldm_aug.io.lock import locked
with locked(Path(sys.argv[1])):
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], close_fds=False)
    print(child.pid, flush=True)
    child.wait()
"""


def begun(code: str, folder: Path) -> tuple[subprocess.Popen[str], str]:
    process = subprocess.Popen([sys.executable, "-c", code, str(folder)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    return process, process.stdout.readline().strip()


def test_a_second_holder_is_refused_at_once_and_told_of_the_first(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "cell"
    with locked(folder):
        with pytest.raises(FolderInUse) as refused, locked(folder):
            pass
        with locked(tmp_path / "new" / "other"):
            pass
    assert refused.value.where == str(folder)
    assert refused.value.what == f"process {os.getpid()} on {socket.gethostname()} is at work in it"
    assert "Wait until it has ended" in str(refused.value)
    with locked(folder):
        assert [path.name for path in folder.iterdir()] == [LOCK_FILE]


def test_an_error_lets_the_folder_go(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), locked(tmp_path):
        raise ZeroDivisionError
    with locked(tmp_path):
        pass


def test_a_killed_process_leaves_nothing_locked(tmp_path: Path) -> None:
    holder, _ = begun(HOLD, tmp_path)
    with pytest.raises(FolderInUse, match=f"process {holder.pid} on"), locked(tmp_path):
        pass
    holder.kill()
    holder.wait()
    with locked(tmp_path):
        pass


def test_what_a_killed_process_has_begun_still_holds_the_folder(tmp_path: Path) -> None:
    holder, child = begun(BEGIN_ANOTHER, tmp_path)
    holder.kill()
    holder.wait()
    try:
        with pytest.raises(FolderInUse), locked(tmp_path):
            pass
    finally:
        os.kill(int(child), 9)


def test_a_system_without_locks_has_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fcntl", None)
    with locked(tmp_path), locked(tmp_path):
        pass


def test_a_file_system_without_locks_is_warned_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*arguments: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with locked(tmp_path):
        pass
    assert f"{tmp_path} cannot be locked (No locks available)" in caplog.text


def test_the_main_process_holds_for_all(tmp_path: Path) -> None:
    accelerator = Accelerator(cpu=True)
    with held_by_main(tmp_path, accelerator), pytest.raises(FolderInUse), held_by_main(tmp_path, accelerator):
        pass
    with held_by_main(tmp_path, accelerator):
        pass
