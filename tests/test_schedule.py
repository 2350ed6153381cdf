"""Schedules: what each says of an epoch, and how it is written."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lldm_aug.blending.schedule import Schedule
from lldm_aug.errors import ConfigError

ratios = st.integers(0, 1000).map(lambda n: n / 1000)
lengths = st.integers(1, 2000)
texts = st.one_of(
    ratios,
    ratios.map(str),
    st.builds("linear {} {}".format, ratios, ratios),
    st.builds("linear {} {} {}".format, ratios, ratios, lengths),
    st.builds("pretrain {}".format, lengths),
    st.builds("pretrain {} {}".format, lengths, ratios),
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (0.3, [0.3, 0.3, 0.3, 0.3, 0.3]),
        ("0.3", [0.3, 0.3, 0.3, 0.3, 0.3]),
        ("linear 1 0", [1, 0.75, 0.5, 0.25, 0]),
        ("linear 0 1 3", [0, 0.5, 1, 1, 1]),
        ("linear 0.2 0.6 1", [0.2, 0.6, 0.6, 0.6, 0.6]),
        ("pretrain 2", [1, 1, 0, 0, 0]),
        ("pretrain 3 0.25", [1, 1, 1, 0.25, 0.25]),
    ],
)
def test_each_form_says_its_ratios(text: float | str, expected: list[float]) -> None:
    schedule = Schedule.parse(text, num_epochs=5)
    assert [schedule.ratio(epoch) for epoch in range(5)] == pytest.approx(expected)


@given(value=texts, length=lengths, other=lengths)
def test_the_written_form_no_longer_depends_on_the_length(value: float | str, length: int, other: int) -> None:
    schedule = Schedule.parse(value, length)
    assert Schedule.parse(schedule.value, other) == schedule


@given(value=texts, length=lengths)
def test_ratios_stay_between_first_and_last_and_never_turn(value: float | str, length: int) -> None:
    schedule = Schedule.parse(value, length)
    said = np.array([schedule.ratio(epoch) for epoch in range(0, 2500, 50)])
    steps = np.diff(said) * np.sign(schedule.last - schedule.first)
    assert (steps >= -1e-12).all()
    assert min(schedule.first, schedule.last) - 1e-12 <= said.min()
    assert said.max() <= max(schedule.first, schedule.last) + 1e-12


@pytest.mark.parametrize(
    "text",
    [
        *("", "half", "1.5", "nan", "0.5 0.5", "cosine 1 0"),
        *("linear", "linear 1", "linear 2 0", "linear 1 0 0", "linear 1 0 2.5"),
        *("pretrain", "pretrain 0", "pretrain -3", "pretrain 5 1.2", "pretrain 5 0 0"),
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        Schedule.parse(text, num_epochs=10)
