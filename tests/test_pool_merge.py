"""Merging pools of one generator."""

from __future__ import annotations

import json

import pytest
from pools import DATASET_JSON, provenance, write_pool

from lldm_aug.errors import IncompatibleResume, PoolError
from lldm_aug.io.atomic import write_json
from lldm_aug.pool.manifest import MANIFEST_FILE, POOL_FILE, read_cases, read_info
from lldm_aug.pool.merge import merge_pools
from lldm_aug.pool.pool_dataset import verify_pool


def part(folder, keep, **options):
    """A pool with only some of three cases, as a part of a run leaves it."""
    write_pool(folder, cases=3, **options)
    lines = (folder / MANIFEST_FILE).read_text().splitlines(keepends=True)
    (folder / MANIFEST_FILE).write_text("".join(lines[i] for i in keep))
    return folder


def change_info(pool, **changes):
    path = pool / POOL_FILE
    write_json(path, json.loads(path.read_text()) | changes)


@pytest.fixture
def parts(tmp_path):
    return part(tmp_path / "a", [0, 2]), part(tmp_path / "b", [1])


def test_parts_become_the_whole(parts, tmp_path):
    assert list(merge_pools(tmp_path / "out", parts)) == ["syn_0000", "syn_0002", "syn_0001"]
    assert verify_pool(tmp_path / "out") == 3
    assert read_info(tmp_path / "out") == read_info(parts[0])
    assert read_cases(tmp_path / "out") == read_cases(write_pool(tmp_path / "whole", cases=3))


def test_sources_stay_as_they_are(parts, tmp_path):
    before = {p: p.read_bytes() for pool in parts for p in pool.rglob("*") if p.is_file()}
    list(merge_pools(tmp_path / "out", parts))
    assert {p: p.read_bytes() for pool in parts for p in pool.rglob("*") if p.is_file()} == before


def test_interrupted_merge_goes_on(parts, tmp_path):
    merge = merge_pools(tmp_path / "out", parts)
    first = next(merge)
    merge.close()
    assert list(read_cases(tmp_path / "out")) == [first]
    assert len(list(merge_pools(tmp_path / "out", parts))) == 2
    assert list(merge_pools(tmp_path / "out", parts)) == []
    assert verify_pool(tmp_path / "out") == 3


@pytest.mark.parametrize(
    "options",
    [
        {"generator": provenance(cases=("other",))},
        {"dataset_json": DATASET_JSON | {"labels": {"background": 0, "hcc": 1, "liver": 2}}},
        {"dataset_json": DATASET_JSON | {"channel_names": {"0": "T2"}}},
    ],
)
def test_pools_of_another_kind_are_refused(parts, tmp_path, options):
    other = part(tmp_path / "other", [1], **options)
    with pytest.raises(PoolError, match=r"other: its (generator|dataset_json) differs"):
        list(merge_pools(tmp_path / "out", (parts[0], other)))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("changes", [{"fold": 1}, {"split_hash": "x"}, {"mask_dataset": "Dataset700_X"}])
def test_pools_of_another_split_are_refused(parts, tmp_path, changes):
    change_info(parts[1], **changes)
    with pytest.raises(PoolError, match=f"its {next(iter(changes))} differs"):
        list(merge_pools(tmp_path / "out", parts))


def test_clashing_case_ids_are_refused(parts, tmp_path):
    with pytest.raises(PoolError, match="case syn_0001 is also in"):
        list(merge_pools(tmp_path / "out", (*parts, part(tmp_path / "c", [1]))))
    assert not (tmp_path / "out").exists()


def test_damaged_source_is_not_taken_over(parts, tmp_path):
    path = parts[1] / "images" / "syn_0001_0000.nii.gz"
    raw = bytearray(path.read_bytes())
    raw[100] ^= 1
    path.write_bytes(bytes(raw))
    with pytest.raises(PoolError, match=r"syn_0001_0000\.nii\.gz: differs"):
        list(merge_pools(tmp_path / "out", parts))
    assert verify_pool(tmp_path / "out") == 2
    assert not list((tmp_path / "out").rglob("*syn_0001*"))


def test_different_mask_sources_are_recorded(parts, tmp_path):
    change_info(parts[1], mask_source="deformed", settings_hash="i", settings={"b": 1})
    list(merge_pools(tmp_path / "out", parts))
    info = read_info(tmp_path / "out")
    assert info.mask_source == "mixed"
    assert info.settings == {"merged": [{}, {"b": 1}]}
    assert info.settings_hash not in ("h", "i")


def test_folder_with_something_else_is_refused(parts, tmp_path):
    write_pool(tmp_path / "pool", cases=1, generator=provenance(cases=("x",)))
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "thesis.txt").touch()
    for out in ("pool", "folder"):
        with pytest.raises(IncompatibleResume):
            list(merge_pools(tmp_path / out, parts))


def test_nothing_to_merge(tmp_path):
    with pytest.raises(PoolError, match="no pools"):
        list(merge_pools(tmp_path / "out", ()))
