"""Confirmation in looks: its promise proved over all worlds of small cases, and simulated at full size."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from population.looks import LEVEL, LOOKS, Decision, Pairs, comparisons, decide, early_look, p_value
from population.statistics import compare

Row = Sequence[float]  # losses at one seed: the baseline's, then the finalists'


def pairs(rows: Sequence[Row], finalists: int) -> Pairs:
    return {number: [(row[number], row[0]) for row in rows] for number in range(1, finalists + 1)}


def confirm(rows: Sequence[Row], looks: Sequence[int] = LOOKS, level: float = LEVEL) -> Decision:
    """Confirm as a search does: train no more than is asked for."""
    finalists = len(rows[0]) - 1
    decision = decide(pairs([], finalists), looks, level)
    while decision.next_look is not None:
        decision = decide(pairs(rows[: decision.next_look], finalists), looks, level)
    return decision


def simulate(
    gains: Sequence[float], runs: int, seed: int, looks: Sequence[int], level: float
) -> list[Decision]:
    """Confirm finalists whose paired differences have deviation 1, all against one baseline."""
    rng = np.random.default_rng(seed)
    worlds = rng.normal(0, 0.5**0.5, (runs, looks[-1], 1 + len(gains))) - np.array([0.0, *gains])
    return [confirm(rows.tolist(), looks, level) for rows in worlds]


@pytest.mark.parametrize(("looks", "level"), [((2, 4, 6), 0.25), ((3, 5, 8), 0.25), ((3, 4, 6), 0.3)])
def test_false_claims_over_all_worlds_of_one_finalist(looks: tuple[int, ...], level: float) -> None:
    magnitudes = [0.3, 1.0, 1.1, 2.0, 2.7, 4.0, 0.9, 1.6][: looks[-1]]
    worlds = [
        confirm([(0.0, sign * size) for sign, size in zip(signs, magnitudes, strict=True)], looks, level)
        for signs in product((1, -1), repeat=looks[-1])
    ]
    claims = sum(bool(decision.those("confirmed")) for decision in worlds)
    assert 0 < claims <= level * len(worlds)


def test_false_claims_over_all_worlds_of_two_finalists() -> None:
    losses = [(0.0, 0.3, 1.0), (0.0, 1.1, 1.7), (0.0, 2.0, 2.1), (0.0, 0.7, 2.9)]
    worlds = [confirm(rows, (3, 4), 0.6) for rows in product(*(list(permutations(seed)) for seed in losses))]
    claims = sum(bool(decision.those("confirmed")) for decision in worlds)
    assert len(worlds) == 6**4
    assert 0 < claims <= 0.6 * len(worlds)


def test_a_real_gain_beside_it_does_not_help_a_finalist_without_one() -> None:
    magnitudes = [0.3, 1.0, 1.1, 2.0, 2.7]
    worlds = [
        confirm([(0.0, -100.0, s * size) for s, size in zip(signs, magnitudes, strict=True)], (4, 5), 0.3)
        for signs in product((1, -1), repeat=5)
    ]
    assert all(1 in decision.those("confirmed") for decision in worlds)
    assert 0 < sum(2 in decision.those("confirmed") for decision in worlds) <= 0.3 * len(worlds)


@pytest.mark.parametrize(
    ("looks", "level", "runs"), [(LOOKS, LEVEL, 300), ((4, 8, 12), 0.05, 600), ((4, 8, 12), 0.2, 300)]
)
def test_false_claims_in_simulated_worlds(looks: tuple[int, ...], level: float, runs: int) -> None:
    decisions = simulate((0.0, 0.0, 0.0), runs, 0, looks, level)
    claims = sum(bool(decision.those("confirmed")) for decision in decisions)
    assert binomtest(claims, runs, level, alternative="greater").pvalue > 0.05


@pytest.mark.slow
@pytest.mark.parametrize(("looks", "level"), [(LOOKS, LEVEL), ((4, 8, 16), 0.05)])
def test_false_claims_in_many_simulated_worlds(looks: tuple[int, ...], level: float) -> None:
    decisions = simulate((0.0, 0.0, 0.0), 4000, 1, looks, level)
    claims = sum(bool(decision.those("confirmed")) for decision in decisions)
    assert binomtest(claims, 4000, level, alternative="greater").pvalue > 0.05


@pytest.mark.parametrize(("gain", "least", "most"), [(1.0, 0.65, 0.85), (2.0, 0.98, 1.0)])
def test_power_is_as_documented(gain: float, least: float, most: float) -> None:
    decisions = simulate((gain, 0.0, 0.0), 120, 2, LOOKS, LEVEL)
    found = sum(1 in decision.those("confirmed") for decision in decisions)
    assert least <= found / 120 <= most


def test_large_gains_end_at_the_second_look_and_none_at_the_first() -> None:
    decisions = simulate((8.0, 8.0, 0.0), 60, 3, LOOKS, LEVEL)
    assert all(decision.those("confirmed")[:2] == [1, 2] for decision in decisions)
    assert {decision.standings[1].n for decision in decisions} == {10}
    assert sum(decision.standings[3].n == 4 for decision in decisions) > 15


def test_the_way_of_a_confirmation() -> None:
    rows = [(2.0, 1.9, 2.1, 1.99)] * 3 + [(2.0, 1.9, 2.1, 2.005)]
    first = decide(pairs(rows, 3))
    assert [standing.state for standing in first.standings.values()] == ["open", "hopeless", "open"]
    assert (first.next_look, first.standings[1].p_adjusted) == (10, 1.0)
    rows += [(2.0, 1.9, 2.1, 1.99)] * 6
    second = decide(pairs(rows, 3))
    assert [standing.state for standing in second.standings.values()] == ["confirmed", "hopeless", "open"]
    assert second.standings[1].p_adjusted == 3 / 1024
    assert (second.next_look, second.standings[1].n, second.standings[2].n) == (16, 10, 4)
    rows += [(2.0, 1.9, 2.1, 2.01)] * 6
    third = decide(pairs(rows, 3))
    assert [standing.state for standing in third.standings.values()] == ["confirmed", "hopeless", "unproven"]
    assert third.next_look is None
    assert third.standings[1] == second.standings[1]


def test_nothing_yet_and_nobody() -> None:
    assert decide({1: [], 2: []}).next_look == 4
    assert decide({1: [], 2: []}).those("open") == [1, 2]
    assert decide({}) == Decision(standings={}, next_look=None)
    assert decide({1: [], 2: []}, looks=()).those("unproven") == [1, 2]


def test_edits_that_change_nothing_at_all_are_dropped_at_once() -> None:
    assert decide({1: [(2.0, 2.0)] * 4}).those("hopeless") == [1]


def test_finalists_that_failed_still_count() -> None:
    beside = decide({1: [(1.9, 2.0)] * 10, 2: [], 3: [(1.9, 2.0)] * 7}, failed=[2, 3])
    assert beside.standings[1].p_adjusted == 3 * beside.standings[1].p_value == 3 / 1024
    assert (beside.those("confirmed"), beside.those("failed")) == ([1], [2, 3])
    assert comparisons({1: [(1.9, 2.0)] * 10, 2: [], 3: []}, beside).keys() == {1}


def test_which_look_may_confirm_early() -> None:
    assert early_look((4, 8, 16), 0.05, 3) == 8
    assert early_look((4, 8, 16), 0.01, 3) is None
    assert early_look((4, 10, 16), 0.01, 3) == 10
    assert early_look((4, 10, 16), 0.01, 6) is None
    assert early_look((8,), 0.05, 3) is None


@settings(deadline=None, max_examples=50)
@given(st.lists(st.integers(-50, 50).map(float), min_size=2, max_size=10))
def test_p_value_without_an_early_look_is_the_plain_one(differences: list[float]) -> None:
    plain = compare(differences, [0.0] * len(differences)).p_value
    assert p_value(differences, None) == pytest.approx(plain, abs=1e-12)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.integers(-9, 9).map(float), min_size=6, max_size=8))
def test_p_value_counts_every_flip_that_would_have_done_as_well(differences: list[float]) -> None:
    def rank(flip: Sequence[float]) -> tuple[bool, float]:
        stops = all(value < 0 for value in flip[:5])
        return not stops, 0.0 if stops else sum(flip)

    flips = [
        [sign * value for sign, value in zip(signs, differences, strict=True)]
        for signs in product((1, -1), repeat=len(differences))
    ]
    if all(value < 0 for value in differences[:5]):
        assert p_value(differences[:5], 5) == 1 / 32
    else:
        share = sum(rank(flip) <= rank(differences) for flip in flips) / len(flips)
        assert p_value(differences, 5) == pytest.approx(share, abs=1e-12)


@settings(deadline=None, max_examples=40)
@given(st.lists(st.tuples(*[st.floats(-1, 1)] * 4), min_size=12, max_size=12), st.integers(0, 12))
def test_scores_that_were_not_asked_for_change_nothing(rows: list[tuple[float, ...]], early: int) -> None:
    looks = (4, 8, 12)
    careful = confirm(rows, looks, 0.2)
    assert decide(pairs(rows, 3), looks, 0.2) == careful
    so_far = decide(pairs(rows[:early], 3), looks, 0.2)
    for number in so_far.those("confirmed"):
        assert careful.standings[number].state == "confirmed"
    for number in so_far.those("hopeless"):
        assert careful.standings[number].state == "hopeless"


def test_comparisons_cover_the_pairs_that_decided() -> None:
    scores = {1: [(1.9 - 0.001 * i, 2.0) for i in range(12)], 2: [(2.1, 2.0)] * 12}
    decision = decide(scores)
    found = comparisons(scores, decision)
    assert found[1] == compare([1.9 - 0.001 * i for i in range(10)], [2.0] * 10)
    assert found[2].n == 4
    assert found[2].mean_difference == pytest.approx(0.1)
