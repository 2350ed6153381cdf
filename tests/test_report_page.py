"""The HTML report: everything is in it, nothing outside is needed, and strings are shown as they are."""

import base64
import csv
import dataclasses
import gzip
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from click.testing import CliRunner
from pools import provenance, write_dataset
from reports import (
    EVIL,
    embedded_pairs,
    gains_table,
    write_fidelity,
    write_gated_pool,
    write_results,
    write_run,
    write_study,
)

from lldm_aug.cli import main
from lldm_aug.data.raw import RawDataset
from lldm_aug.errors import LldmAugError
from lldm_aug.io.hashing import sha256_file
from lldm_aug.pool.manifest import MaskOrigin
from lldm_aug.report.chapters import chapter_on
from lldm_aug.report.content import Chapter
from lldm_aug.report.data_table import Table
from lldm_aug.report.leaks import Asked, against, on_record
from lldm_aug.report.page import NIIVUE, ROWS, html, write_report

OWN_SCRIPTS = 3
"""The pairs, NiiVue and the page's own."""


class Page(HTMLParser):
    """What a browser would find: scripts, addresses, identifiers, and the text outside scripts and styles."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.scripts, self.addresses, self.ids, self.text, self._silent = 0, [], [], "", 0
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.scripts += tag == "script"
        self._silent += tag in ("script", "style")
        for name, value in attributes:
            if name in ("src", "href", "action", "data"):
                self.addresses.append(value)
            if name == "id":
                self.ids.append(value)

    def handle_endtag(self, tag):
        self._silent -= tag in ("script", "style")

    def handle_data(self, data):
        self.text += "" if self._silent else data


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    top = tmp_path_factory.mktemp("folders")
    return {
        "pool": write_gated_pool(top / "pool"),
        "run": write_run(top / "run"),
        "fidelity": write_fidelity(top / "fidelity"),
        "study": write_study(top / "study"),
    }


@pytest.fixture(scope="module")
def chapters(folders: dict[str, Path]) -> dict[str, Chapter]:
    return {name: chapter_on(folder, Asked(pairs=2)) for name, folder in folders.items()}


@pytest.fixture(scope="module")
def everything(chapters: dict[str, Chapter]) -> str:
    return html([*chapters.values()], "Report", "report_data")


def test_a_page_needs_no_other_file_and_forbids_the_network(everything):
    page = Page(everything)
    assert page.scripts == OWN_SCRIPTS
    outside = [a for a in page.addresses if not a.startswith(("#", "data:image/webp;base64,", "report_data/"))]
    assert outside == []
    assert "default-src 'none'" in everything
    assert len(page.ids) == len(set(page.ids))


def test_inner_links_lead_somewhere(everything):
    page = Page(everything)
    assert {a[1:] for a in page.addresses if a.startswith("#")} <= {*page.ids}


@pytest.mark.parametrize("place", ["title", "note", "cell", "fact", "folder"])
def test_strings_are_shown_as_they_are(tmp_path, place):
    table = Table(name="x", title=EVIL, columns=("a", EVIL), rows=((EVIL, 1),), note=EVIL)
    name = EVIL.replace("/", "_") if place == "folder" else "results"
    folder = write_results(tmp_path / name, table, notes=[EVIL], segmenter=EVIL)
    text = html([chapter_on(folder, Asked())], EVIL, "report_data")
    page = Page(text)
    assert page.scripts == 0
    assert page.text.count("alert('x')") >= 6
    assert "<script>alert" not in text


def test_case_names_cannot_end_the_script_that_holds_the_pairs(chapters):
    pair = dataclasses.replace(chapters["pool"].pairs[0], name=EVIL, detail=EVIL, group=EVIL)
    text = html([dataclasses.replace(chapters["study"], pairs=(pair,))], "Report", "report_data")
    assert Page(text).scripts == OWN_SCRIPTS
    assert embedded_pairs(text)[0]["name"] == EVIL


def test_training_cases_and_leak_state_are_named(everything):
    text = Page(everything).text
    assert "Dataset999_Other" in text
    assert "case_x 00000000" in text
    assert "No leak found" in text


@pytest.mark.parametrize(("fold", "clean"), [(0, True), ("all", None)])
def test_record_of_one_fold_is_clean(fold, clean):
    assert on_record(provenance(fold=fold).stages).clean is clean


def test_record_of_stages_of_several_folds_is_not_called_clean():
    state = on_record([*provenance(fold=0).stages, *provenance(fold=1).stages])
    assert state.clean is None
    assert "different folds" in state.text


def test_leaks_into_a_fold_are_found_by_hash(tmp_path):
    dataset = RawDataset(write_dataset(tmp_path / "Dataset998_Blobs"))
    renamed = {f"renamed_{case}": dataset.label_hash(case) for case in dataset.case_ids}
    assert against(dataset, 0, provenance(cases=renamed)).clean is False
    assert against(dataset, 0, provenance()).clean is True


def test_masks_of_validation_cases_are_leaks(tmp_path):
    dataset = RawDataset(write_dataset(tmp_path / "Dataset998_Blobs"))
    origin = MaskOrigin(kind="real", source_dataset=dataset.name, source_case=dataset.case_ids[0])
    states = [against(dataset, fold, provenance(), [origin]) for fold in range(5)]
    assert [state.clean for state in states].count(False) == 1


def test_rejected_pairs_stand_with_their_reasons(everything):
    assert "dice hcc 0.0625, allowed 0.25 to 1" in everything
    assert [p["group"] for p in embedded_pairs(everything)] == ["pool: accepted"] * 2 + ["pool: rejected"]


def test_pairs_are_what_the_pool_holds(folders, everything):
    first = embedded_pairs(everything)[0]
    label = nib.load(folders["pool"] / "labels" / "syn_0000.nii.gz")
    image = nib.load(folders["pool"] / "images" / "syn_0000_0000.nii.gz")
    mask = nib.Nifti1Image.from_bytes(gzip.decompress(base64.b64decode(first["mask"])))
    shown = nib.Nifti1Image.from_bytes(gzip.decompress(base64.b64decode(first["image"])))
    low, high = first["window"]
    np.testing.assert_array_equal(np.asarray(mask.dataobj), np.asarray(label.dataobj))
    assert mask.header.get_zooms() == shown.header.get_zooms() == label.header.get_zooms()
    assert shown.get_data_dtype() == np.uint8
    error = np.abs(shown.get_fdata() - np.clip(image.get_fdata(), low, high)).max()
    assert error <= 0.51 * (high - low) / 255


def test_no_pairs_no_viewer(chapters):
    page = html([chapters["study"]], "Report", "report_data")
    assert Page(page).scripts == 0
    assert "niivue" not in page.lower()


def test_pairs_beyond_the_budget_are_left_out_and_counted(chapters, monkeypatch):
    largest = max(pair.megabytes for pair in chapters["pool"].pairs)
    monkeypatch.setattr("lldm_aug.report.page.BUDGET_MB", 1.5 * largest)
    page = html([chapters["pool"]], "Report", "report_data")
    assert len(embedded_pairs(page)) == 1
    assert "2 more pairs were asked for" in page


def test_every_measured_gain_is_drawn_by_what_its_interval_says(chapters):
    page = html([chapters["study"]], "Report", "report_data")
    rows = [row for row in gains_table().rows if row[5] is not None]
    drawn = re.findall(r'<g class="gain s\d (above|below|across)">', page)
    assert len(drawn) == len(rows)
    assert drawn.count("above") == sum(row[6] > 0 for row in rows)
    assert drawn.count("below") == sum(row[7] < 0 for row in rows)
    assert "Gain in dice, label fraction 0.1" in page


def test_long_tables_are_cut_in_the_page_but_not_in_their_files(chapters, tmp_path):
    data = write_report(tmp_path / "r.html", [chapters["study"]], "Study")
    assert f"The first {ROWS} of 90 rows" in (tmp_path / "r.html").read_text()
    assert len((data / "1_study.cells.csv").read_text().splitlines()) == 91


def test_most_suspicious_copies_come_first(chapters):
    part = next(part for part in chapters["fidelity"].parts if part.title == "Suspected copies")
    assert [row[0] for row in part.tables[0].rows] == ["syn_0001", "syn_0002", "syn_0000"]
    assert part.text[0] == "Verdict: too close."
    assert [picture.caption for picture in part.pictures] == ["syn 0001 beside case 02"]


def test_curves_of_a_run_leave_out_what_is_not_finite(chapters):
    charts = [chart for part in chapters["run"].parts for chart in part.charts]
    assert [chart.title for chart in charts][:2] == ["autoencoder: loss", "autoencoder: parts of the loss"]
    assert "controlnet: mask consistency to the mask" in [chart.title for chart in charts]
    assert not any("nan" in chart.svg for chart in charts)


def test_criteria_of_a_bench_show_their_verdicts(tmp_path):
    line = {"structure": None, "goal": "at most 2", "beside": {"real_vs_real": 0.5}, "note": ""}
    criteria = [
        {**line, "figure": "KID", "value": 5.0, "passed": False},
        {**line, "figure": "seconds", "value": 1.0, "passed": True},
        {**line, "figure": "texture", "value": None, "passed": None},
    ]
    chapter = chapter_on(write_results(tmp_path / "bench", criteria=criteria), Asked())
    page = html([chapter], "Report", "report_data")
    assert re.findall(r'<td class="(?:met|missed|short)">(met|missed|not measured)', page) == [
        "missed",
        "met",
        "not measured",
    ]


def test_figures_beside_the_page_are_whole(chapters, tmp_path):
    data = write_report(tmp_path / "r.html", [*chapters.values()], "All")
    record = json.loads((data / "results.json").read_text())
    assert [c["name"] for c in record["chapters"]] == list(chapters)
    assert record["chapters"][0]["stages"][0]["cases"] == {"case_x": "0" * 64}
    with (data / "4_study.gains.csv").open() as stream:
        assert len(list(csv.DictReader(stream))) == len(gains_table().rows)
    linked = {a for a in Page((tmp_path / "r.html").read_text()).addresses if a.startswith("r_data/")}
    assert linked
    assert all((tmp_path / name).is_file() for name in linked)


def test_a_folder_of_other_files_is_not_replaced(chapters, tmp_path):
    (tmp_path / "r_data").mkdir()
    (tmp_path / "r_data" / "mine.txt").write_text("kept")
    with pytest.raises(LldmAugError, match="r_data"):
        write_report(tmp_path / "r.html", [chapters["study"]], "Study")
    assert (tmp_path / "r_data" / "mine.txt").read_text() == "kept"


def test_same_folders_give_the_same_page(folders, everything):
    again = [chapter_on(folder, Asked(pairs=2)) for folder in folders.values()]
    assert html(again, "Report", "report_data") == everything


@pytest.mark.parametrize(
    ("name", "text"),
    [("results.json", "{"), ("results.json", '{"tables": [{"name": "x"}]}'), ("results.json", "{}"), ("other", "")],
)
def test_folders_that_say_nothing_are_refused(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    with pytest.raises(LldmAugError, match=tmp_path.name):
        chapter_on(tmp_path, Asked())


def test_suspect_that_is_no_picture_is_refused(tmp_path):
    folder = write_fidelity(tmp_path / "fidelity")
    (folder / "nearest_pairs" / "broken.png").write_bytes(b"no picture")
    with pytest.raises(LldmAugError, match="no picture"):
        chapter_on(folder, Asked())


def test_command_writes_page_and_figures(folders, tmp_path):
    arguments = ["evaluate", "report", str(folders["pool"]), str(folders["run"]), "--pairs", "1"]
    result = CliRunner().invoke(main, [*arguments, "--out", str(tmp_path / "deep" / "report.html")])
    assert result.exit_code == 0, result.output
    assert "MB, opens without a network" in result.output
    assert "<title>pool, run</title>" in (tmp_path / "deep" / "report.html").read_text()
    assert (tmp_path / "deep" / "report_data" / "1_pool.rejected.csv").is_file()


def test_viewer_is_the_recorded_build():
    recorded = (NIIVUE / "README.md").read_text()
    assert sha256_file(NIIVUE / "niivue.umd.js") in recorded
    assert "Redistribution and use" in (NIIVUE / "LICENSE").read_text()
