"""A report in a real browser: from disk, without a network, drawn by NiiVue, with slices that change."""

import io
import shutil
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlparse

import numpy as np
import pytest
from PIL import Image
from reports import EVIL, write_fidelity, write_gated_pool, write_results, write_run, write_study

from lldm_aug.report.chapters import chapter_on
from lldm_aug.report.data_table import Table
from lldm_aug.report.leaks import Asked
from lldm_aug.report.page import write_report

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
# WebGL 2 on a machine without a graphics card; no sandbox, since tests may run as root; no calls home.
OPTIONS = [
    "--no-sandbox",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--ignore-gpu-blocklist",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
READY_MS = 120_000

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed (apt-get install chromium)"),
]


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page on everything, with two accepted pairs and a rejected one."""
    top = tmp_path_factory.mktemp("reports")
    evil = Table(name="evil", title=EVIL, columns=(EVIL,), rows=((EVIL,),), note=EVIL)
    folders = [
        write_gated_pool(top / "pool"),
        write_run(top / "run"),
        write_fidelity(top / "fidelity"),
        write_study(top / "study"),
        write_results(top / "evil", evil, notes=[EVIL]),
    ]
    path = top / "out" / "report.html"
    write_report(path, [chapter_on(folder, Asked(pairs=2)) for folder in folders], EVIL)
    return path


class Session:
    """An open report, and what the browser said and asked for meanwhile."""

    def __init__(self, page, path: Path) -> None:
        self.page, self.path = page, path
        self.complaints: list[str] = []
        self.requests: list[str] = []
        page.on(
            "console", lambda message: message.type in ("error", "warning") and self.complaints.append(message.text)
        )
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", lambda request: self.requests.append(request.url))
        page.goto(path.as_uri())
        page.wait_for_selector("html[data-shown]", state="attached", timeout=READY_MS)

    def hear(self, message) -> None:
        """Keeps errors and warnings."""
        if message.type in ("error", "warning"):
            self.complaints.append(message.text)

    def slices(self) -> np.ndarray:
        """The canvas as drawn (rows, columns, RGB)."""
        self.page.wait_for_timeout(400)
        return np.asarray(Image.open(io.BytesIO(self.page.locator("#slices").screenshot())).convert("RGB")).astype(int)

    def position(self) -> dict[str, int]:
        """The slice of each plane."""
        values = self.page.eval_on_selector_all(".slice", "sliders => sliders.map(s => [s.dataset.axis, +s.value])")
        return {"xyz"[int(axis)]: value for axis, value in values}

    def click_slices(self) -> None:
        """Clicks beside the slices, which gives the picture the focus and moves nothing."""
        self.page.locator("#slices").focus()


@pytest.fixture(scope="module")
def browser() -> Iterator[object]:
    with playwright.sync_playwright() as tool:
        browser = tool.chromium.launch(executable_path=BROWSER, args=OPTIONS)
        yield browser
        browser.close()


@pytest.fixture
def session(browser, report: Path) -> Iterator[Session]:
    context = browser.new_context(offline=True, viewport={"width": 1280, "height": 900})
    session = Session(context.new_page(), report)
    yield session
    asked = [url for url in session.requests if not url.startswith("data:")]
    assert [Path(unquote(urlparse(url).path)) for url in asked] == [report]
    assert session.complaints == []
    context.close()


def test_viewer_draws_image_and_outlines(session):
    picture = session.slices()
    grey = picture.max(axis=-1) - picture.min(axis=-1) < 8
    assert picture[grey].std() > 20  # not blank
    assert (~grey).sum() > 200  # coloured outlines
    session.page.locator("#opacity").fill("0")
    coloured = session.slices()
    assert ((coloured.max(axis=-1) - coloured.min(axis=-1)) >= 8).sum() < (~grey).sum() / 4


@pytest.mark.parametrize(
    ("key", "axis", "by"), [("PageUp", "z", 1), ("PageDown", "z", -1), ("ArrowUp", "y", 1), ("ArrowLeft", "x", 1)]
)
def test_keys_change_slices(session, key, axis, by):
    before, at = session.slices(), session.position()
    session.click_slices()
    for _ in range(4):
        session.page.keyboard.press(key)
    assert session.position() == {**at, axis: at[axis] + 4 * by}
    assert (np.abs(session.slices() - before).max(axis=-1) > 20).mean() > 0.01


def test_scrolling_changes_slices_once_the_picture_was_clicked(session):
    canvas = session.page.locator("#slices")
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    middle = box["x"] + box["width"] / 6, box["y"] + box["height"] / 2  # in the axial slice
    session.page.mouse.move(*middle)
    at, scrolled = session.position(), session.page.evaluate("scrollY")
    session.page.mouse.wheel(0, -120)
    session.page.wait_for_timeout(800)
    assert session.position() == at
    assert session.page.evaluate("scrollY") < scrolled
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    session.page.mouse.click(box["x"] + box["width"] / 6, box["y"] + box["height"] / 2)
    at, before = session.position(), session.slices()
    session.page.mouse.wheel(0, 120)
    after = session.slices()
    assert session.position()["z"] != at["z"]
    assert (np.abs(after - before).max(axis=-1) > 20).any()


def test_sliders_change_slices(session):
    before = session.slices()
    session.page.locator('.slice[data-axis="2"]').fill("3")
    assert session.position()["z"] == 3
    assert session.page.locator('.slice[data-axis="2"] + output').inner_text() == "4/24"
    assert (np.abs(session.slices() - before).max(axis=-1) > 20).any()


def test_pairs_change(session):
    before = session.slices()
    session.page.locator("#next").click()
    session.page.wait_for_selector('html[data-shown="syn_0001"]', state="attached", timeout=READY_MS)
    assert (np.abs(session.slices() - before).max(axis=-1) > 20).any()
    session.page.locator("#pair").select_option(label="syn_0002")
    session.page.wait_for_selector('html[data-shown="syn_0002"]', state="attached", timeout=READY_MS)
    assert "dice hcc 0.0625" in session.page.locator("#detail").inner_text()
    session.click_slices()
    session.page.keyboard.press("p")
    session.page.wait_for_selector('html[data-shown="syn_0001"]', state="attached", timeout=READY_MS)


def test_one_plane_alone(session):
    before = session.slices()
    session.page.locator("#planes").select_option(label="coronal")
    assert (np.abs(session.slices() - before).max(axis=-1) > 20).mean() > 0.05


@pytest.mark.parametrize("width", [1280, 800])
def test_nothing_is_wider_than_the_window(session, width):
    session.page.set_viewport_size({"width": width, "height": 900})
    session.page.wait_for_timeout(300)
    assert session.page.evaluate("document.documentElement.scrollWidth") <= width


def test_page_follows_the_dark_scheme(session):
    light = session.page.evaluate("getComputedStyle(document.body).backgroundColor")
    session.page.emulate_media(color_scheme="dark")
    dark = session.page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert light != dark


def test_all_pictures_are_there(session):
    sizes = session.page.eval_on_selector_all("img", "images => images.map(i => i.naturalWidth)")
    assert sizes
    assert min(sizes) > 0


def test_files_that_are_linked_are_there(session):
    links = session.page.eval_on_selector_all("a[href]", "links => links.map(a => a.href)")
    files = [unquote(urlparse(link).path) for link in links if "#" not in link]
    assert files
    assert all(Path(file).is_file() for file in files)
