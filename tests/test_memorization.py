"""The rule on copies, on distances that are made up."""

from __future__ import annotations

import numpy as np
import pytest

from lldm_aug.evaluation.measure.neighbours import Neighbours
from lldm_aug.evaluation.tables.memorization import (
    COPIES,
    MASK,
    NONE,
    SHOWN,
    TOO_CLOSE,
    Space,
    copies_table,
    find_nearest_pairs,
    judge_space,
    overall,
)

NAMES = [f"syn_{i}" for i in range(30)]


def space(pairs, held_out=None, name="image"):
    held_out = drawn(1, 20) if held_out is None else np.asarray(held_out)
    pairs = np.asarray(pairs)
    return Space(name, *(Neighbours(d, np.zeros(len(d), dtype=int)) for d in (pairs, held_out)))


def drawn(seed, n):
    return np.random.default_rng(seed).uniform(0.4, 0.8, n)


def test_pairs_as_far_away_as_held_out_cases_are_no_copies():
    found = judge_space(space(drawn(2, 30)), NAMES, {})
    assert (found.verdict, found.copies, found.judged) == (NONE, 0, 30)
    assert found.p > 0.01


def test_one_copy_among_many_is_found():
    found = judge_space(space([*drawn(2, 29), 0.1]), NAMES, {})
    assert (found.verdict, found.copies) == (COPIES, 1)


def test_a_pair_a_little_nearer_than_any_is_chance():
    held_out = drawn(1, 20)
    found = judge_space(space([*drawn(2, 29), 0.9 * held_out.min()], held_out), NAMES, {})
    assert found.verdict == NONE
    assert found.nearer_than_any >= 1
    assert found.smallest_share == pytest.approx(0.9, abs=0.1)


def test_all_pairs_a_little_nearer_are_too_close():
    found = judge_space(space(0.8 * drawn(2, 30)), NAMES, {})
    assert (found.verdict, found.copies) == (TOO_CLOSE, 0)


def test_false_alarms_are_rare():
    verdicts = [judge_space(space(drawn(2 * s, 30), drawn(2 * s + 1, 20)), NAMES, {}).verdict for s in range(200)]
    assert sum(verdict != NONE for verdict in verdicts) <= 6  # 1 % of 200 would be two


def test_masks_near_by_design_are_not_judged_but_their_images_are():
    by_design = dict.fromkeys(NAMES[:29], "case_1")
    near = [*(0.01 * np.ones(29)), 0.5]
    mask = judge_space(space(near, name=MASK), NAMES, by_design)
    assert (mask.verdict, mask.judged, mask.by_design) == (NONE, 1, 29)
    assert judge_space(space(near), NAMES, by_design).verdict == COPIES
    shown = find_nearest_pairs([space(near, name=MASK)], NAMES, by_design)
    assert [nearest_pair.pair for nearest_pair in shown] == [29]


def test_the_worst_distance_decides():
    verdicts = [judge_space(space(pairs), NAMES, {}) for pairs in (drawn(2, 30), 0.8 * drawn(2, 30))]
    assert overall(verdicts) == TOO_CLOSE
    assert overall([]) is None


def test_held_out_cases_without_distance_do_not_hide_copies():
    found = judge_space(space([*drawn(2, 29), 0.0], [0.0, *drawn(1, 19)]), NAMES, {})
    assert found.verdict == COPIES


def test_suspects_are_the_nearest_and_each_shown_once():
    near = space(drawn(2, 30))
    shown = find_nearest_pairs([near, near], NAMES, {})
    assert len(shown) == SHOWN
    assert shown[0].distance == near.pairs.distances.min()


def test_table_begins_with_the_nearest_and_tells_the_quantile():
    rows = copies_table([space([0.6, 0.2], [0.1, 0.3, 0.5, 0.7])], NAMES[:2], ["case_0"]).rows
    assert rows == (("syn_1", "image", 0.2, "case_0", 0.25), ("syn_0", "image", 0.6, "case_0", 0.75))
