"""Folders that reports are made of: a filtered pool, a run, a fidelity evaluation, a utility study."""

import json
from pathlib import Path

from PIL import Image
from pools import GRID, blob_case, write_pool

from lldm_aug.io.atomic import append_json_line, write_json
from lldm_aug.pool.manifest import MaskOrigin
from lldm_aug.pool.rejected import Reason
from lldm_aug.pool.writer import write_case
from lldm_aug.report.data_table import Table
from lldm_aug.seeds import numpy_rng

NETWORKS = ("U-Net", "SegResNet")
STRUCTURES = ("liver", "hcc")
EVIL = "<script>alert('x')</script> & \"quotes\" </title>"
"""What a name might hold; a page must show it as it is."""


def write_gated_pool(folder: Path, cases: int = 2, rejected: int = 1) -> Path:
    """A pool whose quality filter has refused some pairs."""
    write_pool(folder, cases=cases)
    for index in range(cases, cases + rejected):
        image, label = blob_case(1, index)
        reasons = (Reason(check="dice", structure="hcc", value=0.0625, low=0.25, high=1.0),)
        origin = MaskOrigin(kind="procedural")
        write_case(folder, f"syn_{index:04d}", index, 1, image[None], label, GRID, origin, reasons)
    return folder


def write_run(folder: Path, stages: tuple[str, ...] = ("autoencoder", "controlnet"), steps: int = 400) -> Path:
    """Run folders of stages as far as a report reads them: settings, statistics, scores and a sample."""
    for stage in stages:
        train = {"precision": "no", stage: {"steps": steps}}
        run = {"stage": stage, "dataset": "Dataset998_Blobs", "fold": 0, "cases": ["case_00"], "processes": 1}
        write_json(folder / stage / "run.json", {**run, "config": {"seed": 3, "train": train}})
        for step in range(10, steps + 1, 10):
            loss = float("nan") if step == 20 else 1 / step
            append_json_line(folder / stage / "stats.jsonl", {"step": step, "loss": loss, "l1": loss, "kl": 1.0})
        (folder / stage / "samples").mkdir()
        Image.new("RGB", (40, 30), "navy").save(folder / stage / "samples" / "step_00000400.png")
    for step in (200, 400):
        append_json_line(folder / "controlnet" / "scores.jsonl", {"step": step, "score": 0.9, "relative.hcc": 0.8})
    return folder


def write_results(folder: Path, *tables: Table, **others: object) -> Path:
    """An evaluation's folder with these tables in its ``results.json``."""
    dumped = [table.model_dump(mode="json") for table in tables]
    write_json(folder / "results.json", {"lldm_aug_version": "0.1.0", "tables": dumped, "notes": [], **others})
    return folder


def write_fidelity(folder: Path) -> Path:
    """Distances to training cases, one pair much closer than held-out cases, and its picture."""
    rows = (
        ("syn_0000", "features", 9.5, "case_01", 0.62),
        ("syn_0001", "features", 0.5, "case_02", 0.001),
        ("syn_0002", "features", 4.0, "case_02", 0.2),
    )
    columns = ("pair", "space", "distance", "nearest", "held_out_quantile")
    (folder / "nearest_pairs").mkdir(parents=True)
    Image.new("RGB", (60, 30), "teal").save(folder / "nearest_pairs" / "syn_0001_beside_case_02.png")
    table = Table(name="copies", title="Nearest training cases", columns=columns, rows=rows)
    return write_results(folder, table, copies_verdict="too close", copies_rule=EVIL)


def gains_table() -> Table:
    """A gain above zero, one across it and one below for each network, and one that could not be measured."""
    columns = ("network", "structure", "label_fraction", "arm", "metric", "gain", "low", "high", "p", "p_holm", "n")
    rows = [
        (network, structure, share, arm, "dice", gain, gain - 2.0, gain + 2.0, 0.01, 0.04, 24)
        for share in (0.1, 1.0)
        for network, shift in zip(NETWORKS, (0.0, 0.5), strict=True)
        for structure in STRUCTURES
        for arm, gain in (("real + synthetic", 5.0 + shift), ("synthetic only", -6.0 + shift), ("smoothed", shift))
    ]
    rows.append(("V-Net", "hcc", 0.1, "real + synthetic", "dice", None, None, None, None, None, 0))
    return Table(name="gains", title="Gains over real data alone", columns=columns, rows=tuple(rows))


def write_study(folder: Path, cells: int = 90) -> Path:
    """A study of two networks with gains, curves and many cells."""
    rng = numpy_rng("study")
    curves = tuple(
        (network, arm, 0.1, 0, seed, step, float(1 / (1 + step) + 0.01 * rng.random()))
        for network in NETWORKS
        for arm in ("real", "real + synthetic")
        for seed in (0, 1)
        for step in range(0, 100, 10)
    )
    names = ("network", "arm", "label_fraction", "fold", "seed", "step", "loss")
    lines = tuple(("U-Net", "real", i, float(rng.random())) for i in range(cells))
    return write_results(
        folder,
        gains_table(),
        Table(name="curves", title="Losses", columns=names, rows=curves),
        Table(name="cells", title="Cells", columns=("network", "arm", "case", "dice"), rows=lines),
    )


def embedded_pairs(page: str) -> list[dict[str, object]]:
    """The pairs that a page holds."""
    text = page.partition('id="pairs">')[2].partition("</script>")[0]
    return [] if not text else list(json.loads(text))
