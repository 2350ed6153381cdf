"""Files and folders appear whole under their final name, or not at all: on errors, full disks and sudden death."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from volumes import noise

from lldm_aug.errors import InvalidVolume
from lldm_aug.io.atomic import append_json_line, atomic_file, atomic_folder, read_json_lines, write_json, write_text
from lldm_aug.io.nifti import read_image, write_nifti

ROOT = Path(__file__).resolve().parents[1]


class Failure(Exception):
    """What a writer may raise."""


def write_half(path: Path, error: type[BaseException]) -> None:
    with atomic_file(path) as temporary:
        temporary.write_text("half")
        raise error


def write_half_a_folder(path: Path) -> None:
    with atomic_folder(path) as temporary:
        (temporary / "a").write_text("half")
        raise Failure


def test_success_leaves_only_the_file(tmp_path):
    write_text(tmp_path / "deep" / "a.txt", "café")
    assert [p.name for p in (tmp_path / "deep").iterdir()] == ["a.txt"]
    assert (tmp_path / "deep" / "a.txt").read_text(encoding="utf-8") == "café"


def test_failure_leaves_nothing(tmp_path):
    with pytest.raises(Failure):
        write_half(tmp_path / "a.txt", Failure)
    assert not list(tmp_path.iterdir())


def test_failure_keeps_the_older_file(tmp_path):
    write_text(tmp_path / "a.txt", "old")
    with pytest.raises(KeyboardInterrupt):
        write_half(tmp_path / "a.txt", KeyboardInterrupt)
    assert [p.read_text() for p in tmp_path.iterdir()] == ["old"]


@pytest.mark.parametrize("name", ["case 1.5mm.nii.gz", ".hidden", "model.safetensors", "x" * 200 + ".nii.gz"])
def test_temporary_file_cannot_be_taken_for_a_case(tmp_path, name):
    with atomic_file(tmp_path / name) as temporary:
        assert temporary.parent == tmp_path
        assert temporary.name.startswith(".")
        assert temporary.suffix == ".partial"
        temporary.write_text(name)
    assert (tmp_path / name).read_text() == name


def test_folder_appears_whole(tmp_path):
    with atomic_folder(tmp_path / "step") as temporary:
        (temporary / "inner").mkdir()
        (temporary / "inner" / "a").write_text("a")
        assert not (tmp_path / "step").exists()
    assert [p.name for p in tmp_path.iterdir()] == ["step"]
    assert (tmp_path / "step" / "inner" / "a").read_text() == "a"


def test_folder_replaces_an_older_one_whole(tmp_path):
    for content in ("old", "new"):
        with atomic_folder(tmp_path / "step") as temporary:
            (temporary / content).write_text(content)
    assert [p.name for p in (tmp_path / "step").iterdir()] == ["new"]
    assert [p.name for p in tmp_path.iterdir()] == ["step"]


def test_failed_folder_keeps_the_older_one(tmp_path):
    with atomic_folder(tmp_path / "step") as temporary:
        (temporary / "a").write_text("old")
    with pytest.raises(Failure):
        write_half_a_folder(tmp_path / "step")
    assert [p.name for p in tmp_path.iterdir()] == ["step"]
    assert (tmp_path / "step" / "a").read_text() == "old"


def test_json_lines_round_trip(tmp_path):
    lines = [{"a": 1}, {"b": [1.5, None, "ü\n"]}]
    for line in lines:
        append_json_line(tmp_path / "m.jsonl", line)
    assert read_json_lines(tmp_path / "m.jsonl") == lines
    assert read_json_lines(tmp_path / "missing.jsonl") == []


@given(st.data())
def test_torn_line_is_ignored_and_swallows_nothing(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "torn.jsonl"
    path.unlink(missing_ok=True)
    append_json_line(path, {"case": "first"})
    append_json_line(path, {"case": "second", "text": "äöü"})
    whole = path.read_bytes()
    start = whole.index(b"\n") + 1
    path.write_bytes(whole[: data.draw(st.integers(start, len(whole) - 2))])
    append_json_line(path, {"case": "third"})
    assert [line["case"] for line in read_json_lines(path)] == ["first", "third"]


@given(st.binary(max_size=200) | st.just(b"[" * 100_000))
def test_json_lines_survive_any_bytes(tmp_path_factory, raw):
    path = tmp_path_factory.getbasetemp() / "junk.jsonl"
    path.write_bytes(raw)
    assert isinstance(read_json_lines(path), list)


def _append(path: Path, writer: int) -> None:
    for i in range(50):
        append_json_line(path, {"writer": writer, "i": i, "pad": "x" * (writer * 997)})


def test_four_writers_one_file(tmp_path):
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_append, args=(tmp_path / "m.jsonl", n)) for n in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    found = {(line["writer"], line["i"]) for line in read_json_lines(tmp_path / "m.jsonl")}
    assert found == {(n, i) for n in range(4) for i in range(50)}
    assert len(read_json_lines(tmp_path / "m.jsonl")) == 200


def test_append_to_a_full_disk_raises(tmp_path):
    (tmp_path / "m.jsonl").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left") as caught:
        append_json_line(tmp_path / "m.jsonl", {"a": 1})
    assert caught.value.errno == errno.ENOSPC


LIMITED = """
import resource, signal, sys
from pathlib import Path
sys.path[:0] = [{root!r}, {tests!r}]
from volumes import noise
from lldm_aug.io.nifti import write_nifti
from lldm_aug.io.atomic import append_json_line
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
folder = Path({folder!r})
for attempt in (lambda: write_nifti(folder / "a.nii.gz", noise()),
                lambda: append_json_line(folder / "m.jsonl", {{"pad": "x" * 2000}})):
    try:
        attempt()
    except OSError as error:
        print(error.errno)
"""


def test_file_size_limit_leaves_nothing_half(tmp_path):
    write_nifti(tmp_path / "a.nii.gz", noise(seed=7))
    append_json_line(tmp_path / "m.jsonl", {"a": 1})
    script = LIMITED.format(root=str(ROOT), tests=str(ROOT / "tests"), folder=str(tmp_path))
    out = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert out.split() == [str(errno.EFBIG), str(errno.ENOSPC)]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.nii.gz", "m.jsonl"]
    assert (read_image(tmp_path / "a.nii.gz").data == noise(seed=7).data).all()
    assert read_json_lines(tmp_path / "m.jsonl") == [{"a": 1}]


ENDLESS = """
import sys
from pathlib import Path
sys.path[:0] = [{root!r}, {tests!r}]
from volumes import noise
from lldm_aug.io.atomic import append_json_line, atomic_folder
from lldm_aug.io.nifti import write_nifti
folder = Path({folder!r})
i = 0
while True:
    write_nifti(folder / "a.nii.gz", noise(seed=i % 3))
    with atomic_folder(folder / f"step_{{i}}") as temporary:
        (temporary / "x").write_text("x" * 5000)
        (temporary / "y").write_text("y" * 5000)
    append_json_line(folder / "m.jsonl", {{"i": i}})
    i += 1
"""


@pytest.mark.parametrize("delay", [0.013, 0.037, 0.071])
def test_sigkill_leaves_nothing_half_under_a_final_name(tmp_path, delay):
    script = ENDLESS.format(root=str(ROOT), tests=str(ROOT / "tests"), folder=str(tmp_path))
    process = subprocess.Popen([sys.executable, "-c", script])
    deadline = time.monotonic() + 20
    while not (tmp_path / "m.jsonl").exists() and time.monotonic() < deadline:
        time.sleep(0.005)
    time.sleep(delay)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert read_image(tmp_path / "a.nii.gz").data.shape == noise().data.shape
    done = read_json_lines(tmp_path / "m.jsonl")
    assert [line["i"] for line in done] == list(range(len(done)))
    for folder in (p for p in tmp_path.iterdir() if p.name.startswith("step_")):
        assert {p.name: p.stat().st_size for p in folder.iterdir()} == {"x": 5000, "y": 5000}
    assert all((tmp_path / f"step_{line['i']}").is_dir() for line in done)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_unwritable_folder_raises(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(PermissionError):
        write_json(tmp_path / "a.json", {})


def test_failed_volume_leaves_the_older_one(tmp_path):
    write_nifti(tmp_path / "a.nii.gz", noise())
    bad = noise()
    bad.data[0, 0, 0] = float("nan")
    with pytest.raises(InvalidVolume):
        write_nifti(tmp_path / "a.nii.gz", bad)
    assert (read_image(tmp_path / "a.nii.gz").data == noise().data).all()


def test_written_json_is_readable(tmp_path):
    write_json(tmp_path / "a.json", {"b": [1, 2]})
    assert json.loads((tmp_path / "a.json").read_text()) == {"b": [1, 2]}
