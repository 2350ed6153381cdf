"""Pools that renew themselves: always the newest cases, whole, whoever is killed when."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest
from click.testing import CliRunner
from pools import GRID, blob_case, write_pool
from tiny import tiny_config, tiny_generator

from lldm_aug.cli import main
from lldm_aug.data.raw import RawDataset
from lldm_aug.errors import ConfigError, PoolError
from lldm_aug.pool.manifest import MaskOrigin, PoolCase, read_cases, read_manifest
from lldm_aug.pool.pool_dataset import PoolDataset, verify_pool
from lldm_aug.pool.rejected import Reason, read_rejected
from lldm_aug.pool.retired import RETIRED_FILE, read_retired
from lldm_aug.pool.writer import case_name, write_case
from lldm_aug.synthesis.generate import missing_indices, renewed, unmade_indices

SEED = 3
BAD = Reason(check="mean", value=0, low=1, high=2)


def made(pool: Path, parts: int = 1, part: int = 0, rejected: tuple[int, ...] = ()) -> Iterator[PoolCase]:
    """Blobs instead of a generator's cases, on disk like those."""
    for index in unmade_indices(pool, SEED, parts, part):
        image, label = blob_case(SEED, index)
        reasons = (BAD,) if index in rejected else ()
        origin = MaskOrigin(kind="procedural")
        yield write_case(pool, case_name(SEED, index), index, index, image[None], label, GRID, origin, reasons)


def take(cases: Iterator[PoolCase], number: int) -> list[int]:
    """Indices of the next cases."""
    return [next(cases).index for _ in range(number)]


def live(pool: Path) -> list[int]:
    """Indices of the cases that the pool has."""
    return sorted(case.index for case in read_cases(pool).values())


def on_disk(pool: Path, folder: str = "labels") -> int:
    """How many masks there are."""
    return len(list((pool / folder).glob("*.nii.gz")))


@pytest.fixture
def pool(tmp_path: Path) -> Path:
    """Without any cases."""
    return write_pool(tmp_path / "p", cases=0)


def test_the_newest_cases_stay(pool: Path) -> None:
    """Those that go are off the record at once, and stay on disk for whoever reads them."""
    assert take(renewed(made(pool), pool, 3, SEED), 5) == [0, 1, 2, 3, 4]
    assert live(pool) == [2, 3, 4]
    assert sorted(read_retired(pool / RETIRED_FILE)) == [case_name(SEED, 0), case_name(SEED, 1)]
    assert on_disk(pool) == 5
    assert verify_pool(pool) == 3
    assert [case.index for case in PoolDataset(pool).cases] == [2, 3, 4]


def test_files_go_after_the_grace(pool: Path) -> None:
    """Images and masks."""
    take(renewed(made(pool), pool, 2, SEED, grace_seconds=0), 6)
    assert live(pool) == [4, 5]
    assert on_disk(pool) == on_disk(pool, "images") == 2
    assert len(read_manifest(pool)) == 6


def test_another_run_goes_on_where_one_was_killed(pool: Path) -> None:
    """No number comes twice; what the first left to delete, the second deletes."""
    take(renewed(made(pool), pool, 2, SEED), 4)
    assert take(renewed(made(pool), pool, 2, SEED, grace_seconds=0), 2) == [4, 5]
    assert live(pool) == [4, 5]
    assert on_disk(pool) == 2


def test_killed_between_a_new_case_and_the_old_ones_end(pool: Path) -> None:
    """One too many is let go with the next."""
    take(made(pool), 3)
    assert take(renewed(made(pool), pool, 2, SEED), 1) == [3]
    assert live(pool) == [2, 3]


def test_a_smaller_number_lets_more_go(pool: Path) -> None:
    """The user asks for less."""
    take(renewed(made(pool), pool, 4, SEED), 4)
    take(renewed(made(pool), pool, 2, SEED), 1)
    assert live(pool) == [3, 4]


def test_parts_keep_their_shares(pool: Path) -> None:
    """Two processes with one pool, of which each minds its own."""
    parts = [renewed(made(pool, 2, part), pool, 3, SEED, 2, part) for part in (0, 1)]
    for _ in range(4):
        for part in parts:
            next(part)
    assert live(pool) == [4, 6, 7]


def test_a_part_without_a_share_is_refused(pool: Path) -> None:
    """Before anything is made."""
    with pytest.raises(ConfigError, match="none for part 2 of 3"):
        next(renewed(made(pool, 3, 2), pool, 2, SEED, 3, 2))


def test_rejected_pairs_are_renewed_among_themselves(pool: Path) -> None:
    """They are counted for good, and their files go."""
    take(renewed(made(pool, rejected=(0, 2, 3, 5)), pool, 2, SEED, grace_seconds=0), 7)
    assert live(pool) == [4, 6]
    assert len(read_rejected(pool)) == 4
    assert on_disk(pool, "rejected/labels") == 2
    assert verify_pool(pool) == 2


def test_retired_cases_were_made(pool: Path) -> None:
    """Without following, too, no number is made again, although its files are gone."""
    take(renewed(made(pool), pool, 1, SEED, grace_seconds=0), 3)
    assert missing_indices(pool, 5, SEED) == [3, 4]


def test_a_damaged_record_is_refused(pool: Path) -> None:
    """And named."""
    (pool / RETIRED_FILE).write_text('{"case": 1}\n', encoding="utf-8")
    with pytest.raises(PoolError, match="invalid line"):
        read_cases(pool)


@pytest.fixture(scope="module")
def run(dataset: RawDataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A generator of fold 0, hardly trained."""
    return tiny_generator(dataset, tmp_path_factory.mktemp("runs") / "x", tiny_config(steps=2))


def command(run: Path, dataset: RawDataset, out: Path, *more: str) -> list[str]:
    """Of ``lldm-aug generate --follow``."""
    base = ["generate", "--model", str(run), "--data", str(dataset.folder), "--fold", "0", "--masks", "real"]
    return [*base, "--n", "2", "--out", str(out), *more]


def wait_for(pool: Path, cases: int) -> None:
    """Until the manifest has so many lines."""
    for _ in count():
        if (pool / "manifest.jsonl").exists() and len(read_manifest(pool)) >= cases:
            return
        time.sleep(0.1)


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_the_command_follows_until_it_is_stopped(run: Path, dataset: RawDataset, tmp_path: Path, how: int) -> None:
    """Asked to stop it ends well; killed, it leaves a pool from which it goes on."""
    out = tmp_path / "p"
    arguments = [sys.executable, "-m", "lldm_aug", *command(run, dataset, out, "--follow", "--pause", "0.1")]
    with subprocess.Popen(arguments, env=dict(os.environ), stdout=subprocess.PIPE, text=True) as process:
        wait_for(out, 4)
        process.send_signal(how)
        output, _ = process.communicate(timeout=60)
    assert process.returncode == (0 if how != signal.SIGKILL else -signal.SIGKILL)
    assert ("2 cases" in output) == (how != signal.SIGKILL)
    assert verify_pool(out) in (2, 3)
    highest = max(case.index for case in read_manifest(out).values())
    result = CliRunner().invoke(main, [*command(run, dataset, out)[:-4], "--n", str(highest + 2), "--out", str(out)])
    assert result.exit_code == 0, result.output
    assert highest + 1 in live(out)
