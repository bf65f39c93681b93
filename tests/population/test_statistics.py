"""Paired comparisons against answers known in other ways."""

from __future__ import annotations

import math
from itertools import product
from random import Random

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import stats

from population.statistics import Comparison, compare, holm, sigma, two_sided

whole = st.integers(-1000, 1000).map(float)  # sums of these are exact, so ties are ties


def against_zero(differences: list[float]) -> Comparison:
    return compare(differences, [0.0] * len(differences))


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 8, 16])
def test_candidate_better_in_every_pair(n: int) -> None:
    comparison = against_zero([-0.01 * (1 + pair) for pair in range(n)])
    assert comparison.n == n
    assert comparison.p_value == 2.0**-n
    assert comparison.mean_difference == pytest.approx(-0.01 * (n + 1) / 2)


def test_candidate_worse_in_every_pair() -> None:
    assert against_zero([0.1, 0.2, 0.3, 0.4, 0.5]).p_value == 1.0


def test_pairs_are_matched_by_position() -> None:
    comparison = compare([1.0, 2.0, 3.0], [1.5, 2.5, 3.5])
    assert (comparison.mean_difference, comparison.low, comparison.high) == (-0.5, -0.5, -0.5)
    assert comparison.p_value == 1 / 8


@settings(deadline=None)
@given(st.lists(whole, min_size=1, max_size=9))
def test_p_value_is_the_share_of_all_sign_flips(differences: list[float]) -> None:
    total = sum(differences)
    flips = [
        sum(sign * value for sign, value in zip(signs, differences, strict=True))
        for signs in product((1, -1), repeat=len(differences))
    ]
    share = sum(flip <= total for flip in flips) / len(flips)
    assert against_zero(differences).p_value == pytest.approx(share, abs=1e-12)


def test_false_claims_at_every_level_over_all_worlds_without_effect() -> None:
    magnitudes = [0.3, 1.0, 1.1, 2.0, 2.7, 4.0]
    p_values = [
        against_zero([sign * size for sign, size in zip(signs, magnitudes, strict=True)]).p_value
        for signs in product((1, -1), repeat=6)
    ]
    assert all(sum(p <= level for p in p_values) <= level * len(p_values) for level in (0.02, 0.05, 0.1, 0.5))


def test_false_claims_in_simulated_worlds_without_effect() -> None:
    rng = np.random.default_rng(0)
    worlds = 600
    claims = sum(against_zero(list(rng.normal(0, 0.016, 5))).p_value <= 0.05 for _ in range(worlds))
    assert claims / worlds <= 0.05  # 1/32 is the exact level at five pairs


def test_a_known_effect_is_found() -> None:
    rng = np.random.default_rng(1)
    found = sum(against_zero(list(rng.normal(-0.016, 0.009, 8))).p_value <= 0.05 for _ in range(200))
    assert found / 200 > 0.95


@pytest.mark.parametrize(("n", "least"), [(2, 0.92), (4, 0.92), (8, 0.92)])
def test_interval_holds_the_true_difference_about_as_often_as_documented(n: int, least: float) -> None:
    rng = np.random.default_rng(2)
    worlds = 300
    held = 0
    for _ in range(worlds):
        comparison = against_zero(list(rng.normal(-0.3, 1.0, n)))
        held += comparison.low <= -0.3 <= comparison.high
    assert least <= held / worlds <= 0.99


def test_few_pairs_use_students_t() -> None:
    comparison = against_zero([-1.0, -2.0, -3.0])
    reach = 4.302652729911275 / math.sqrt(3)  # t table, two degrees of freedom, 97.5%
    assert (comparison.low, comparison.high) == pytest.approx((-2 - reach, -2 + reach))


def test_many_pairs_use_bca() -> None:
    differences = [-0.01 * (1 + pair) for pair in range(16)]
    comparison = against_zero(differences)
    reference = stats.bootstrap(
        (differences,), np.mean, method="BCa", n_resamples=20_000, rng=np.random.default_rng(9)
    )
    interval = reference.confidence_interval
    assert (comparison.low, comparison.high) == pytest.approx((interval.low, interval.high), abs=0.002)


def test_one_pair_bounds_nothing() -> None:
    comparison = against_zero([-0.1])
    assert (comparison.low, comparison.high, comparison.p_value) == (-math.inf, math.inf, 0.5)


def test_no_difference_at_all() -> None:
    comparison = against_zero([0.0] * 6)
    assert (comparison.low, comparison.high, comparison.p_value) == (0.0, 0.0, 1.0)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.floats(-100, 100), min_size=2, max_size=9), st.randoms(use_true_random=False))
@example([0.0, 0.0, 0.0, 1e-171], Random(0))
@example([1.0, 1.0, 1.0, 1.0 + 2**-52], Random(0))
def test_order_of_pairs_does_not_matter_and_figures_are_numbers(
    differences: list[float], random: Random
) -> None:
    comparison = against_zero(differences)
    random.shuffle(differences)
    assert against_zero(differences) == comparison
    assert -math.inf < comparison.low <= comparison.high < math.inf
    assert 0 < comparison.p_value <= 1


def test_more_pairs_than_can_be_enumerated() -> None:
    assert against_zero([-0.01 * (1 + pair) for pair in range(20)]).p_value < 1e-4


@pytest.mark.parametrize(
    ("candidate", "baseline"), [([], []), ([1.0], [1.0, 2.0]), ([math.nan], [1.0]), ([1.0], [math.inf])]
)
def test_what_cannot_be_compared(candidate: list[float], baseline: list[float]) -> None:
    with pytest.raises(ValueError, match=r"cannot pair|must be finite"):
        compare(candidate, baseline)


@pytest.mark.parametrize(
    ("p_values", "adjusted"),
    [
        ([], []),
        ([0.03], [0.03]),
        ([0.01, 0.04, 0.03, 0.005], [0.03, 0.06, 0.06, 0.02]),
        ([0.5, 0.5, 0.001], [1.0, 1.0, 0.003]),
        ([0.02, 0.02], [0.04, 0.04]),
    ],
)
def test_holm_by_hand(p_values: list[float], adjusted: list[float]) -> None:
    assert holm(p_values) == pytest.approx(adjusted)


@given(st.lists(st.floats(0, 1), max_size=8))
def test_holm_keeps_the_order_and_never_helps(p_values: list[float]) -> None:
    adjusted = holm(p_values)
    assert all(p <= higher <= 1 for p, higher in zip(p_values, adjusted, strict=True))
    order = sorted(range(len(p_values)), key=lambda index: p_values[index])
    assert [adjusted[index] for index in order] == sorted(adjusted)


def test_two_sided_by_the_t_table() -> None:
    # differences 1, 2, 3: mean 2, standard error 1/sqrt(3), t = 3.4641 at two degrees of freedom
    assert two_sided([1.0, 2.0, 3.0], [0.0, 0.0, 0.0]) == pytest.approx(0.0741799, abs=1e-6)
    assert two_sided([1.5, 1.5], [1.5, 1.5]) == 1.0
    assert two_sided([1.5, 2.5], [1.0, 2.0]) == 0.0


def test_identical_configurations_differ_at_the_promised_rate() -> None:
    rng = np.random.default_rng(3)
    claims = sum(two_sided(rng.normal(2, 0.01, 5), rng.normal(2, 0.01, 5)) <= 0.05 for _ in range(2000))
    assert 0.035 <= claims / 2000 <= 0.065


def test_sigma_by_hand() -> None:
    assert sigma([2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0]) == pytest.approx(math.sqrt(32 / 7))
    assert sigma([1.9, 1.9]) == 0.0
