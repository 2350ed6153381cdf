"""A pool's manifest: written, read back, verified; damaged or hostile ones are refused."""

from __future__ import annotations

import json
import shutil

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pools import write_pool

from lldm_aug.errors import PoolError
from lldm_aug.io.atomic import append_json_line
from lldm_aug.pool.manifest import MANIFEST_FILE, POOL_FILE, append_case, read_cases, read_info
from lldm_aug.pool.pool_dataset import verify_pool
from lldm_aug.pool.summary import summarise


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    return write_pool(tmp_path_factory.mktemp("template") / "pool", cases=3)


@pytest.fixture
def pool(template, tmp_path):
    shutil.copytree(template, tmp_path / "pool")
    return tmp_path / "pool"


def rewrite(pool, change):
    """Replaces the first manifest line by what `change` makes of it."""
    first, *rest = (pool / MANIFEST_FILE).read_text().splitlines(keepends=True)
    (pool / MANIFEST_FILE).write_text(json.dumps(change(json.loads(first))) + "\n" + "".join(rest))


def test_whole_pool_verifies(pool):
    assert verify_pool(pool) == 3
    assert list(read_cases(pool)) == ["syn_0000", "syn_0001", "syn_0002"]


def test_case_round_trip(pool):
    cases = read_cases(pool)
    (pool / MANIFEST_FILE).unlink()
    for case in reversed(cases.values()):
        append_case(pool, case)
    assert read_cases(pool) == cases


def test_torn_last_line_is_no_case(pool):
    path = pool / MANIFEST_FILE
    path.write_bytes(path.read_bytes()[:-20])
    assert list(read_cases(pool)) == ["syn_0000", "syn_0001"]


def test_equal_lines_are_one_case_and_different_ones_refused(pool):
    case = read_cases(pool)["syn_0001"]
    append_case(pool, case)
    assert len(read_cases(pool)) == 3
    append_case(pool, case.model_copy(update={"seed": 99}))
    with pytest.raises(PoolError, match="two different lines for case syn_0001"):
        read_cases(pool)


@pytest.mark.parametrize("position", [0, 200, -1])
def test_changed_byte_is_found(pool, position):
    path = pool / "images" / "syn_0001_0000.nii.gz"
    raw = bytearray(path.read_bytes())
    raw[position] ^= 1
    path.write_bytes(bytes(raw))
    with pytest.raises(PoolError, match=r"syn_0001_0000\.nii\.gz: differs from its manifest line"):
        verify_pool(pool)


def test_truncated_and_missing_files_are_found(pool):
    path = pool / "labels" / "syn_0002.nii.gz"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(PoolError, match="differs"):
        verify_pool(pool)
    path.unlink()
    with pytest.raises(PoolError, match=r"syn_0002\.nii\.gz: missing"):
        verify_pool(pool)


@pytest.mark.parametrize(
    "name",
    ["../outside.txt", "/etc/hostname", "images/../../outside.txt", "a\\b", "C:x", "images//x", "", "images/", "."],
)
def test_file_names_cannot_leave_the_pool(pool, name):
    (pool.parent / "outside.txt").write_text("x")
    rewrite(pool, lambda line: line | {"files": {name: next(iter(line["files"].values()))}})
    with pytest.raises(PoolError, match="not a plain name"):
        read_cases(pool)


def test_links_cannot_leave_the_pool(pool):
    path = pool / "labels" / "syn_0000.nii.gz"
    shutil.move(path, pool.parent / "outside.nii.gz")
    path.symlink_to(pool.parent / "outside.nii.gz")
    with pytest.raises(PoolError, match="lies outside the pool"):
        verify_pool(pool)


@pytest.mark.parametrize("case_id", ["../x", "", "a/b", "x\n"])
def test_hostile_case_ids(pool, case_id):
    rewrite(pool, lambda line: line | {"case_id": case_id})
    with pytest.raises(PoolError, match="case_id"):
        read_cases(pool)


@pytest.mark.parametrize(
    "change",
    [
        lambda line: line | {"extra": 1},
        lambda line: {k: v for k, v in line.items() if k != "seed"},
        lambda line: line | {"seed": "many"},
        lambda line: line | {"mask": None},
        lambda line: line | {"files": {"images/a": {"size": -1, "sha256": "0" * 64}}},
        lambda line: line | {"files": {"images/a": {"size": 1, "sha256": "xyz"}}},
        lambda line: [line],
        lambda line: 3,
    ],
)
def test_invalid_lines_are_refused(pool, change):
    rewrite(pool, change)
    with pytest.raises(PoolError, match=r"manifest\.jsonl: invalid line"):
        read_cases(pool)


def test_case_without_its_mask_is_found(pool):
    rewrite(pool, lambda line: line | {"files": {k: v for k, v in line["files"].items() if "images" in k}})
    with pytest.raises(PoolError, match=r"case syn_0000 lacks labels/syn_0000\.nii\.gz"):
        verify_pool(pool)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(), lambda v: st.lists(v) | st.dictionaries(st.text(), v)
    )
)
def test_any_json_line_raises_only_pool_errors(tmp_path_factory, value):
    pool = tmp_path_factory.getbasetemp()
    (pool / MANIFEST_FILE).unlink(missing_ok=True)
    append_json_line(pool / MANIFEST_FILE, value)
    with pytest.raises(PoolError):
        read_cases(pool)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", "null", "\xff"])
def test_invalid_pool_json(pool, text):
    (pool / POOL_FILE).write_text(text, encoding="latin-1")
    with pytest.raises(PoolError, match=r"pool\.json: invalid"):
        read_info(pool)


def test_folder_that_is_no_pool(tmp_path):
    (tmp_path / "file").touch()
    for folder in (tmp_path, tmp_path / "missing", tmp_path / "file"):
        with pytest.raises(PoolError, match=r"pool\.json: cannot be read \(no"):
            verify_pool(folder)


def test_later_format_is_refused(pool):
    info = json.loads((pool / POOL_FILE).read_text())
    (pool / POOL_FILE).write_text(json.dumps(info | {"format_version": 2}))
    with pytest.raises(PoolError, match="written in format 2; this version reads up to 1"):
        read_info(pool)


def test_summary(pool):
    summary = summarise(pool)
    assert (summary.cases, summary.masks, summary.structures) == (3, {"procedural": 3}, {"liver": 1, "hcc": 2})
    assert summary.megabytes > 0
