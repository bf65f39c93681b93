"""Rank agreement between budgets, against scipy's own tests and by hand."""

from __future__ import annotations

from itertools import permutations
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from population.transfer import Transfer, transfer

losses = st.integers(0, 5).map(float)  # few values, so that ties are common


@pytest.mark.parametrize(("n", "p"), [(2, 1 / 2), (3, 1 / 6), (4, 1 / 24), (8, 1 / 40320)])
def test_full_agreement(n: int, p: float) -> None:
    result = transfer([1.9 + 0.01 * i for i in range(n)], [1.5 + 0.02 * i**2 for i in range(n)])
    assert [result.spearman, result.kendall] == pytest.approx([1, 1])
    assert result.p_value == pytest.approx(p)
    assert result.place == 1


def test_full_reversal() -> None:
    result = transfer([1.0, 2.0, 3.0], [3.0, 2.0, 1.0])
    assert [result.spearman, result.kendall] == pytest.approx([-1, -1])
    assert (result.p_value, result.place) == (1.0, 3)
    assert result.chance == pytest.approx((-1, 1))


@settings(deadline=None, max_examples=25)
@given(st.lists(st.tuples(losses, losses), min_size=2, max_size=5))
def test_agrees_with_scipy(scores: list[tuple[float, float]]) -> None:
    searched, longer = map(list, zip(*scores, strict=True))
    result = transfer(searched, longer)
    if len(set(searched)) == 1 or len(set(longer)) == 1:
        assert (result.spearman, result.kendall, result.p_value, result.chance) == (None, None, 1.0, None)
        return
    exact = stats.permutation_test(
        (longer,),
        lambda order: stats.spearmanr(searched, order).statistic,
        permutation_type="pairings",
        alternative="greater",
        n_resamples=1000,
    )
    assert result.spearman == pytest.approx(exact.statistic)
    assert result.p_value == pytest.approx(exact.pvalue)
    assert result.kendall == pytest.approx(stats.kendalltau(searched, longer).statistic)


def test_the_worst_place_counts_where_candidates_tie() -> None:
    assert transfer([1.0, 1.0, 2.0], [5.0, 3.0, 4.0]).place == 3
    assert transfer([1.0, 2.0, 3.0], [4.0, 4.0, 5.0]).place == 2


def test_claims_of_agreement_over_all_orders() -> None:
    p_values = [transfer(range(5), order).p_value for order in permutations(range(5))]
    assert all(sum(p <= level for p in p_values) <= level * 120 + 1e-9 for level in (0.01, 0.05, 0.2, 0.5))


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(losses, losses), min_size=2, max_size=5), st.randoms(use_true_random=False))
def test_how_candidates_are_listed_does_not_matter(scores: list[tuple[float, float]], random: Random) -> None:
    def of(pairs: list[tuple[float, float]]) -> Transfer:
        return transfer([first for first, _ in pairs], [second for _, second in pairs])

    assert of(random.sample(scores, len(scores))) == of(scores)


@pytest.mark.parametrize(
    ("searched", "longer", "sentence"),
    [
        (
            [1.90, 1.91, 1.92, 1.93],
            [1.60, 1.61, 1.62, 1.63],
            "At 4 times the budget the best of 4 finalists is still the best; rank correlation +1.00 "
            "(Spearman; Kendall +1.00): only 1 order in 24 agrees as well.",
        ),
        (
            [1.90, 1.91, 1.92],
            [1.61, 1.60, 1.62],
            "At 4 times the budget the best of 3 finalists comes in at place 2; rank correlation +0.50 "
            "(Spearman; Kendall +0.33): a random order agrees as well in 50% of cases, and chance alone "
            "gives -1.00 to +1.00, so this says little.",
        ),
        (
            [1.90, 1.91, 1.92, 1.93, 1.94, 1.95],
            [1.65, 1.64, 1.63, 1.62, 1.61, 1.60],
            "At 4 times the budget the best of 6 finalists comes in at place 6; rank correlation -1.00 "
            "(Spearman; Kendall -1.00): the order is turned round, by more than chance explains.",
        ),
        ([1.9, 1.9], [1.6, 1.5], "At 4 times the budget there is no order to compare: the 2 finalists tie."),
    ],
)
def test_what_a_person_reads(searched: list[float], longer: list[float], sentence: str) -> None:
    assert transfer(searched, longer).sentence == sentence
