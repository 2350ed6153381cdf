"""Paired gains, intervals and corrections against closed forms and plain simulation."""

import numpy as np
import pytest
from scipy.stats import wilcoxon

from lldm_aug.errors import ConfigError
from lldm_aug.evaluation.utility.cell import Arm, Cell, CellScores, parse_arms
from lldm_aug.evaluation.utility.pairing import Gain, GainRow, compare, holm, paired_gain
from lldm_aug.evaluation.utility.study_report import dice_gains, where_empty
from lldm_aug.evaluation.utility.study_tables import empty_table, gains_table, goals_table, lesions_table
from lldm_aug.metrics.score import METRICS, StructureScore
from lldm_aug.seeds import numpy_rng


def test_holm_multiplies_the_smallest_most_and_never_falls() -> None:
    assert holm([0.01, 0.04, 0.03, None]) == [pytest.approx(0.03), pytest.approx(0.06), pytest.approx(0.06), None]
    assert holm([0.6, 0.9]) == [1.0, 1.0]


def test_interval_covers_the_true_mean_as_often_as_it_says() -> None:
    covered = 0
    for trial in range(60):
        values = numpy_rng("skewed", trial).exponential(size=24) - 1
        gain = paired_gain(values, "trial", trial)
        assert gain.low is not None
        covered += gain.low <= 0 <= gain.high
    assert 50 <= covered <= 60  # 95 % of 60 is 57; of skewed samples this small a little less


def test_interval_and_test_of_known_differences() -> None:
    values = [0.1, 0.2, 0.3, 0.15, 0.05, 0.25]
    gain = paired_gain(values, "a")
    assert gain.mean == pytest.approx(0.175)
    assert 0.05 < gain.low < 0.175 < gain.high < 0.3
    assert (gain.p, gain.n) == (wilcoxon(values).pvalue, 6)
    assert paired_gain(values, "a") == gain


def test_equal_differences_and_few_cases_have_no_made_up_interval() -> None:
    same = paired_gain([0.0] * 6, "a")
    assert (same.low, same.high, same.p) == (0, 0, 1)
    few = paired_gain([0.1, 0.2, 0.3, 0.15, 0.25], "a")
    assert (few.mean, few.low, few.p) == (pytest.approx(0.2), None, None)


def score(dice: float | None, empty: str = "", structure: str = "hcc", **metrics: float) -> StructureScore:
    counts = {"all": (2, 1, 1, 1)}
    figures = {**dict.fromkeys(METRICS), "dice": dice, **metrics}
    return StructureScore(structure=structure, empty=empty, metrics=figures, lesions=counts)


def cell(arm: Arm, seed: int = 0, network: str = "unet") -> Cell:
    return Cell(network, arm, 0.1, 0, seed)


def scores(*cases: StructureScore) -> CellScores:
    return CellScores(seconds=1.0, cases={f"case_{n}": (case,) for n, case in enumerate(cases)})


SYN = Arm("syn", 0.5)


def only(rows: tuple[GainRow, ...], metric: str) -> GainRow:
    (row,) = (row for row in rows if row.metric == metric)
    return row


def test_seeds_are_averaged_and_cases_are_paired() -> None:
    found = {
        cell(Arm("real"), 0): scores(score(0.2), score(0.5), score(0.4)),
        cell(SYN, 0): scores(score(0.4), score(0.5), score(0.6)),
        cell(Arm("real"), 1): scores(score(0.2), score(0.5), score(0.4)),
        cell(SYN, 1): scores(score(0.6), score(0.5), score(0.6)),
        cell(SYN, 2): scores(score(1.0), score(1.0), score(1.0)),  # its real twin is not finished
    }
    row = only(compare(found), "dice")
    assert row.gain.n == 3
    assert row.gain.mean == pytest.approx((0.3 + 0 + 0.2) / 3)


def test_a_false_alarm_costs_where_there_is_nothing_to_find() -> None:
    nothing, alarm = score(None, "both"), score(0.0, "truth", hd95_mm=90.0)
    found = {cell(Arm("real")): scores(nothing, nothing), cell(SYN): scores(alarm, nothing)}
    rows = compare(found)
    assert only(rows, "dice").gain.mean == -0.5
    assert only(rows, "hd95_mm").gain.mean == -45  # a distance that grows is a loss
    table = empty_table(found)
    counts = {row[1]: dict(zip(table.columns[4:], row[4:], strict=True)) for row in table.rows}
    assert counts["syn@0.5"] == {"in both": 0, "false alarms": 1, "missed": 0, "in neither": 1, "not annotated": 0}


def test_one_stray_voxel_does_not_hide_what_is_gained_where_there_is_something() -> None:
    nothing, alarm = score(None, "both"), score(0.0, "truth")
    missed, there = score(0.0, "prediction"), score(0.4)
    found = {
        cell(Arm("real"), 0): scores(nothing, there, missed, there),
        cell(SYN, 0): scores(alarm, score(0.6), score(0.3), there),
        cell(Arm("real"), 1): scores(nothing, there, missed, there),
        cell(SYN, 1): scores(nothing, there, missed, there),
    }
    row = only(compare(found), "dice")
    assert row.gain.mean == pytest.approx((-0.5 + 0.1 + 0.15 + 0) / 4)
    assert row.present == pytest.approx((0.1 + 0.15 + 0) / 3)
    assert (row.n_present, row.flipped) == (3, 2)
    table = gains_table([row])
    assert table.rows[0][-3:] == (row.present, 3, 2)
    empty = only(compare({key: scores(value.cases["case_0"][0]) for key, value in found.items()}), "dice")
    assert (empty.present, empty.n_present, empty.flipped) == (None, 0, 1)


def test_what_is_not_annotated_is_not_compared() -> None:
    unknown = score(None, "not annotated")
    found = {cell(Arm("real")): scores(unknown, score(0.5)), cell(SYN): scores(unknown, score(0.75))}
    assert only(compare(found), "dice").gain.n == 1


def test_lesions_are_summed_before_they_are_divided() -> None:
    table = lesions_table({cell(SYN): scores(score(0.5), score(0.5))})
    row = dict(zip(table.columns, table.rows[0], strict=True))
    assert (row["lesions"], row["found"], row["recall"], row["precision"]) == (4, 2, 0.5, 1.0)


def row(network: str, structure: str, mean: float, low: float, high: float, arm: str = "syn@0.5") -> GainRow:
    gain = Gain(mean=mean, low=low, high=high, p=0.01, n=20)
    return GainRow(network=network, structure=structure, label_fraction=0.1, arm=arm, metric="dice", gain=gain)


FIVE = tuple(f"net{n}" for n in range(5))


def asked(*networks: str, seeds: int = 2) -> list[Cell]:
    return [cell(arm, seed, network) for network in networks for arm in (Arm("real"), SYN) for seed in range(seeds)]


def test_goals_report_gain_and_harm() -> None:
    rows = [row(f"net{n}", "hcc", 0.05 + 0.02 * n, 0.01 if n else -0.01, 0.2) for n in range(5)]
    rows += [row("net0", "liver", -0.01, -0.02, -0.005), row("net0", "hcc", 1, 1, 1, "real-aug")]
    table = goals_table(rows, asked(*FIVE), asked(*FIVE), ["hcc"])
    best, sure, harm = ((line[3], line[5]) for line in table.rows)
    assert best == (pytest.approx(0.13), "yes")
    assert sure == ("4 of 5", "yes")
    assert harm == ("1 of 6", "no")
    assert [line[-2:] for line in table.rows] == [(5, 2)] * 3
    assert table.columns[-2:] == ("networks", "seeds")
    assert "uncorrected" in table.note


def test_goals_are_not_judged_before_all_is_there() -> None:
    found = [row(name, "hcc", 0.3, 0.2, 0.4) for name in FIVE]
    four = goals_table(found[:4], asked(*FIVE[:4]), asked(*FIVE[:4]), ["hcc"])
    assert [(line[5], line[-2]) for line in four.rows] == [("not judged", 4)] * 3
    for missing in (cell(Arm("real"), 1, "net4"), cell(SYN, 1, "net4")):
        there = [one for one in asked(*FIVE) if one != missing]
        assert {line[5] for line in goals_table(found, asked(*FIVE), there, ["hcc"]).rows} == {"not judged"}
    other = cell(Arm("syn", 0.25))  # another arm's cells, and those of another share, may be unfinished
    elsewhere = Cell("net0", SYN, 1.0, 0, 0)
    whole = goals_table(found, [*asked(*FIVE), other, elsewhere], asked(*FIVE), ["hcc"])
    assert {line[5] for line in whole.rows} == {"yes"}


def test_goals_of_too_few_cases_are_neither_met_nor_missed() -> None:
    gain = Gain(mean=0.3, low=None, high=None, p=None, n=3)
    rows = [row("unet", "hcc", 0, 0, 0).model_copy(update={"gain": gain})]
    table = goals_table(rows, asked("unet"), asked("unet"), ["hcc"])
    assert [line[5] for line in table.rows] == ["too few cases"] * 3


def test_gains_table_has_the_agreed_columns() -> None:
    table = gains_table([row("unet", "hcc", 0.1, 0.0, 0.2)])
    agreed = "network,structure,label_fraction,arm,metric,gain,low,high,p,p_holm,n,gain_present,n_present,flipped"
    assert ",".join(table.columns) == agreed
    assert len(table.rows[0]) == len(table.columns)


def test_gains_in_short_are_points_of_each_network_and_structure() -> None:
    sure = row("unet", "hcc", 0.1234, 0.05, 0.2).model_copy(update={"p_holm": 0.01})
    rows = (sure, row("unet", "liver", -0.02, -0.05, 0.01), row("attunet", "hcc", 0.0, -0.1, 0.1))
    (table,) = dice_gains(gains_table(rows))
    assert table.columns == ("network", "hcc", "liver")
    assert table.rows[0] == ("unet", "+12.3 (+5.0 to +20.0) *", "-2.0 (-5.0 to +1.0)")
    assert table.rows[1] == ("attunet", "+0.0 (-10.0 to +10.0)", None)


def test_rows_without_empty_structures_are_left_out_of_the_short_table() -> None:
    whole = empty_table({cell(Arm("real")): scores(score(0.5), score(0.0, "truth", "liver"))})
    assert len(whole.rows) == 2
    assert [line[3] for line in where_empty(whole).rows] == ["liver"]


def test_arms_by_name() -> None:
    arms = parse_arms(("syn", "syn-only", "real"), (0.25, 0.5))
    assert [str(arm) for arm in arms] == ["real", "syn@0.25", "syn@0.5", "syn-only"]
    assert [arm.ratio for arm in arms] == [0, 0.25, 0.5, 1]
    for names, ratios in ((("sin",), ()), (("syn",), (1.0,))):
        with pytest.raises(ConfigError):
            parse_arms(names, ratios)


def test_bootstrap_is_of_the_mean_of_cases() -> None:
    values = numpy_rng("normal", 1).normal(0.1, 0.2, size=400)
    gain = paired_gain(values, "b")
    half = 1.96 * np.std(values, ddof=1) / 20
    assert gain.low == pytest.approx(values.mean() - half, abs=0.004)
    assert gain.high == pytest.approx(values.mean() + half, abs=0.004)
