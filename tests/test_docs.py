"""The documentation as a whole: links lead somewhere, every page is found, and the reference is that of the code."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

from lldm_aug.config.explain import dotted_keys
from lldm_aug.config.schema import Config

ROOT = Path(__file__).resolve().parents[1]
REFERENCE = ROOT / "docs" / "reference"
START = (ROOT / "README.md", ROOT / "CONTRIBUTING.md")
PAGES = {path: path.read_text(encoding="utf-8") for path in (*START, *sorted(ROOT.glob("docs/**/*.md")))}
LINK = re.compile(r"\]\(([^)\s]+)\)")
FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
LONGEST = 200


def name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def links(page: Path) -> list[tuple[Path, str]]:
    """Path and anchor of every link of a page to something in this repository."""
    targets = [t for t in LINK.findall(FENCED.sub("", PAGES[page])) if not t.startswith(("http://", "https://"))]
    split = [target.partition("#") for target in targets]
    return [((page.parent / path).resolve() if path else page, anchor) for path, _, anchor in split]


def anchors(page: Path) -> set[str]:
    """What GitHub makes of a page's headings."""
    heads = re.findall(r"^#+ (.*)$", FENCED.sub("", page.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.fixture(scope="module")
def generate() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate", REFERENCE / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_somewhere(page: Path) -> None:
    assert [str(path) for path, _ in links(page) if not path.exists()] == []
    assert [f"{path}#{anchor}" for path, anchor in links(page) if anchor and anchor not in anchors(path)] == []


def test_every_page_is_reached_from_the_readme() -> None:
    reached: set[Path] = set()
    waiting = [START[0]]
    while waiting:
        page = waiting.pop()
        reached.add(page)
        for path, _ in links(page):
            inside = path.glob("*.md") if path.is_dir() else [path]  # a link to a folder shows its pages
            waiting += [found for found in inside if found in PAGES and found not in reached]
    assert [name(page) for page in PAGES if page not in reached] == []


def test_pages_are_short() -> None:
    lengths = {name(page): len(text.splitlines()) for page, text in PAGES.items()}
    assert {page: length for page, length in lengths.items() if length > LONGEST} == {}


def test_what_the_architecture_names_is_there() -> None:
    text = " ".join(PAGES[ROOT / "docs" / "architecture.md"].split())
    files = {named: [ROOT / named, ROOT / "lldm_aug" / named] for named in re.findall(r"`([\w./]+/[\w.]+\.py)`", text)}
    found = {named: next((path for path in places if path.is_file()), None) for named, places in files.items()}
    assert [named for named, path in found.items() if path is None] == []
    things = re.findall(r"`([A-Za-z_]+)` in `([\w./]+\.py)`", text)
    assert len(things) > 10
    assert [
        thing for thing, named in things if not re.search(rf"\b{thing}\b", (found[named] or ROOT).read_text())
    ] == []


def test_the_reference_is_up_to_date(generate: ModuleType) -> None:
    written = generate.pages()
    stale = [page for page, text in written.items() if PAGES.get(REFERENCE / page) != text]
    left_over = generate.generated_files() - written.keys()
    assert (stale, left_over) == ([], set()), "run 'python docs/reference/generate.py'"


def test_every_setting_is_shown_with_its_meaning(generate: ModuleType) -> None:
    rows = [line.split(" | ") for page, text in generate.settings_pages() for line in text.splitlines() if "|" in line]
    cells = {row[0].removeprefix("| ").strip("`"): row[-1].removesuffix(" |").strip() for row in rows if len(row) == 5}
    leaves = {key.rpartition(".")[2] for key in dotted_keys(Config)} - {
        part for key in dotted_keys(Config) for part in key.split(".")[:-1]
    }
    assert leaves <= cells.keys()
    assert [key for key in leaves if not cells[key]] == []
