"""Axes of charts: every value in its place, round numbers beside it."""

from hypothesis import assume, given
from hypothesis import strategies as st

from lldm_aug.report.charts import Axis, Curve, draw_curves

FIGURES = st.floats(-1e6, 1e6, allow_nan=False).map(lambda v: round(v, 6))


@given(st.lists(FIGURES, min_size=2, max_size=6))
def test_values_and_ticks_lie_on_the_axis(values):
    assume(max(values) == min(values) or max(values) - min(values) > 1e-5)
    axis = Axis.around(values, 50, 450)
    assert all(50 <= axis.place(v) <= 450 for v in values)
    assert all(50 <= place <= 450 for place, _ in axis.ticks())
    assert len(axis.ticks()) <= 8


@given(st.floats(1e-6, 1e3), st.floats(31, 1e6))
def test_wide_positive_ranges_are_logarithmic(low, ratio):
    axis = Axis.around([low, low * ratio], 200, 10, logarithmic=None)
    assert axis.logarithmic
    middle = axis.place((low * low * ratio) ** 0.5)
    assert abs(middle - 105) < 0.2


def test_zero_is_labelled_as_such():
    assert "0" in [text for _, text in Axis.around([-0.3, 0.7], 0, 100).ticks()]


def test_equal_values_have_an_axis():
    assert Axis.around([3.0, 3.0], 0, 100).place(3.0) == 50


def test_nothing_finite_is_not_drawn():
    assert draw_curves([Curve("loss", [1, 2], [float("nan"), float("inf")])], "t", "y") is None


def test_long_curves_stay_small():
    steps = range(100_000)
    chart = draw_curves([Curve("loss", steps, [1 / (1 + s) for s in steps])], "t", "loss")
    assert len(chart.svg) < 12_000
