"""Puts what came back from a GPU machine in its place: the page of figures, and the generator if it is a better one."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lldm_aug.evaluation.evaluation_report import criteria_table
from lldm_aug.io.atomic import write_json, write_text
from lldm_aug.models.generator import Generator
from lldm_aug.models.mask_model import MaskModel
from lldm_aug.models.segmenter import Segmenter
from lldm_aug.report.criterion import Criterion

REPOSITORY = Path(__file__).resolve().parents[2]
PAGE = Path("docs/results/gpu.md")
PAIRS_PICTURE, MASK_CONSISTENCY_PICTURE = Path("docs/images/gpu.png"), Path("docs/images/mask_consistency.png")
LARGEST_BYTES = 40e6
"""Of the embedded generator with all that belongs to it."""
HELD_OUT, SEED, PAIRS = "Dataset601_HBPPhantomHeldOut", 601, 32
"""Phantoms that figures are taken on; as many again are compared with."""
KID, MASK_CONSISTENCY = "KID over real-vs-real", "mask consistency"


class NotAdopted(Exception):
    """The generator stays where it is."""


def figures(report: dict[str, Any], which: str) -> list[Criterion]:
    """Those of the ``new`` or the ``old`` generator; none if they were not measured."""
    return [Criterion.model_validate(criterion) for criterion in report.get(which, [])]


def reasons_against(new: Sequence[Criterion], old: Sequence[Criterion]) -> list[str]:
    """Why the new generator may not replace the old one; empty if it may."""
    consistent = [criterion for criterion in new if criterion.figure == MASK_CONSISTENCY]
    reasons = [f"the {MASK_CONSISTENCY} was not measured"] if not consistent else []
    missed = [criterion for criterion in consistent if criterion.passed is not True]
    reasons += [f"{c.figure} of {c.structure} is {_value(c)}, the bound is {c.goal}" for c in missed]
    kid = [[c.value for c in criteria if c.figure == KID and c.value is not None] for criteria in (new, old)]
    if not all(kid):
        return [*reasons, "the KID of one of the two generators was not measured"]
    if kid[0][0] >= kid[1][0]:
        reasons.append(
            f"its KID is {kid[0][0]:.1f} times the real-vs-real distance, that of the present one {kid[1][0]:.1f}"
        )
    return reasons


def unpack(results: Path, folder: Path, expected: str) -> Path:
    """The generator's folder, put together from its pieces and checked.

    Raises:
        NotAdopted: when pieces are missing, or are not what was measured.
    """
    archive = folder / "generator.tar"
    with archive.open("wb") as stream:
        for piece in sorted(results.glob("generator.tar.*")):
            stream.write(piece.read_bytes())
    try:
        with tarfile.open(archive) as tar:
            tar.extractall(folder, filter="data")
    except tarfile.TarError as error:
        raise NotAdopted(f"{results}: the pieces generator.tar.* do not make an archive: {error}") from error
    generator = folder / "generator"
    found = Generator.load(generator).hash
    if found != expected:
        raise NotAdopted(f"{results}: the generator is {found[:12]}, the figures are of {expected[:12]}")
    Segmenter.load(generator / "segmenter")
    MaskModel.load(generator / "masks")
    size = sum(path.stat().st_size for path in generator.rglob("*") if path.is_file())
    if size >= LARGEST_BYTES:
        raise NotAdopted(f"it has {size / 1e6:.0f} MB, more than {LARGEST_BYTES / 1e6:.0f}")
    return generator


def model_card(generator: Path, report: dict[str, Any]) -> str:
    """The generator's own card, and how it was made and what it scores."""
    card = (generator / "README.md").read_text(encoding="utf-8").rstrip()
    steps = "; ".join(f"{stage} {chosen['steps']}" for stage, chosen in report["steps"].items())
    lines = [
        card,
        "",
        "## How it was made",
        "",
        "Embedded in lldm_aug so that everything runs with nothing downloaded. It has learned digital phantoms, never",
        "a patient. For real work train your own, from these weights (`--init pretrained`) or from scratch. Made by",
        f"`tests/gpu/run.sh embed` on {report['device']}, from {report['phantoms']} phantoms;",
        f"steps by the clock: {steps}.",
        "",
        "## Figures",
        "",
        "`lldm-aug evaluate generator` on phantoms that no stage saw:",
        "",
        *criteria_table(figures(report, "new")),
        "",
    ]
    return "\n".join(lines)


def page(results: Path, report: dict[str, Any]) -> str:
    """Everything that was measured, as ``docs/results/gpu.md``."""
    lines = [
        "# Measured on a GPU",
        "",
        "Written by `tests/gpu/adopt.py` from what `tests/gpu/run.sh` brought back; no number is written by hand.",
        "",
    ]
    for name in ("tests", "paper"):
        path = results / f"{name}.json"
        if path.exists():
            lines += [f"## {name}", "", *_flat_table(json.loads(path.read_text(encoding="utf-8"))), ""]
    if report:
        plain = {key: value for key, value in report.items() if key not in ("new", "old")}
        lines += ["## embed", "", *_flat_table(plain), ""]
    if (results / "pictures.png").exists():
        lines += [f"![Pairs of the generator that was trained](../images/{PAIRS_PICTURE.name})", ""]
    for which, title in (("new", "The generator that was trained"), ("old", "The one that was there before")):
        if found := figures(report, which):
            lines += [f"### {title}", "", *criteria_table(found), ""]
    return "\n".join(lines)


def _flat_table(tree: dict[str, Any]) -> list[str]:
    rows = [f"| {name} | {_shown(value)} |" for name, value in _leaves(tree)]
    return ["| figure | value |", "| --- | --- |", *rows]


def _leaves(tree: Any, name: str = "") -> list[tuple[str, Any]]:
    if isinstance(tree, dict):
        inner = [(f"{name}: {key}" if name else str(key), value) for key, value in tree.items()]
        return [leaf for key, value in inner for leaf in _leaves(value, key)]
    if isinstance(tree, list):
        return [leaf for index, value in enumerate(tree) for leaf in _leaves(value, f"{name} {index}")]
    return [(name, tree)]


def _shown(value: Any) -> str:
    text = f"{value:.4g}" if isinstance(value, float) else str(value)
    return text.replace("|", "/").replace("\n", " ")


def _value(criterion: Criterion) -> str:
    return "not measured" if criterion.value is None else f"{criterion.value:.3f}"


def publish(results: Path, repository: Path, report: dict[str, Any]) -> None:
    """Writes the page of figures, with the picture of pairs if there is one."""
    picture = results / "pictures.png"
    if picture.exists():
        place = repository / PAIRS_PICTURE
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(picture, place)
    write_text(repository / PAGE, page(results, report))


def measure(generators: dict[str, Path], folder: Path) -> dict[str, list[dict[str, Any]]]:
    """Figures of generators on phantoms that they have not seen, on this machine.

    Args:
        generators: by the name of their figures.
        folder: scratch; a second call with the same one goes on where the first stopped.
    """
    data, figures = folder / HELD_OUT, {}
    folder.mkdir(parents=True, exist_ok=True)
    _lldm_aug(folder, "phantom", "--n", str(2 * PAIRS), "--seed", str(SEED), "--out", str(data))
    for name, generator in generators.items():
        out = folder / f"bench_{name}"
        words = ("--model", str(generator), "--data", str(data), "--n", str(PAIRS), "--out", str(out))
        _lldm_aug(folder, "evaluate", "generator", *words)
        figures[name] = json.loads((out / "results.json").read_text(encoding="utf-8"))["criteria"]
    return figures


def _lldm_aug(folder: Path, *words: str) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "nnUNet_raw"}
    path = os.pathsep.join([str(REPOSITORY), *filter(None, [environment.get("PYTHONPATH")])])
    command = [sys.executable, "-m", "lldm_aug", *words]
    subprocess.run(command, cwd=folder, env={**environment, "PYTHONPATH": path}, check=True)


def adopt(results: Path, repository: Path) -> None:
    """Writes the page of figures, then puts generator and picture in place.

    Figures that were not taken on the GPU machine are taken here, and added to ``embed.json``.

    Args:
        results: what came back.
        repository: to write to.

    Raises:
        NotAdopted: when the generator is not whole, or not better; the page of figures is written all the same.
    """
    path = results / "embed.json"
    report = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    publish(results, repository, report)
    if "generator" not in report:
        raise NotAdopted(f"{results}: no generator came back")
    with tempfile.TemporaryDirectory(dir=repository) as temporary:
        generator, present = unpack(results, Path(temporary), report["generator"]), repository / "pretrained"
        if not {"new", "old"} <= {*report}:
            scratch = (results / "figures").resolve()
            report |= measure({"new": generator.resolve(), "old": present.resolve()}, scratch)
            write_json(path, report)
            shutil.copy2(scratch / "bench_new" / "mosaic.png", results / "mask_consistency.png")
            publish(results, repository, report)
        if reasons := reasons_against(figures(report, "new"), figures(report, "old")):
            raise NotAdopted("; ".join(reasons))
        write_text(generator / "README.md", model_card(generator, report))
        present.rename(Path(temporary) / "before")
        generator.rename(present)
    shutil.copy2(results / "mask_consistency.png", repository / MASK_CONSISTENCY_PICTURE)


def main() -> int:
    """0 if the generator was adopted."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results", type=Path, help="folder with embed.json and what else came back")
    arguments = parser.parse_args()
    try:
        adopt(arguments.results, REPOSITORY)
    except NotAdopted as error:
        print(f"{PAGE} is written; the embedded generator stays as it is: {error}")
        return 1
    print(f"adopted: pretrained/, pictures, {PAGE}; run the tests, look at the pictures, then commit")
    return 0


if __name__ == "__main__":
    sys.exit(main())
