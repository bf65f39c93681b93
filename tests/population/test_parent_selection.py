"""What every policy promises, and what each of them is for."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from worlds import scored

from population import selection
from population.archive import Archive
from population.orders import Order
from population.pareto import crowding, dominates, ranks
from population.settings import Settings


def archive(losses: Mapping[int, Sequence[float]], flops: Mapping[int, int] | None = None) -> Archive:
    """Return an archive with these losses by rung, and FLOPs per token; sigma is 0.01 everywhere."""
    made = Archive(Settings(tokens=900))
    for seed, loss in enumerate([3.00, 3.01, 2.99]):
        for rung in range(3):
            made.apply(Order(number=0, rung=rung, seed=seed), scored(loss))
    for number, at in losses.items():
        for rung, loss in enumerate(at):
            cost = (flops or {}).get(number, 1)
            made.apply(Order(number=number, rung=rung, seed=0), scored(loss, flops=cost))
    return made


@pytest.mark.parametrize("name", selection.names())
def test_policies_choose_among_the_living_and_depend_on_the_generator_alone(name: str) -> None:
    known = archive({n: [2.0 + n / 100] for n in range(1, 10)})
    choose = selection.policy(name)
    living = [3, 5, 7, 9]
    chosen = [choose(living, known, random.Random(i)) for i in range(200)]
    assert set(chosen) <= set(living)
    assert chosen == [choose(living, known, random.Random(i)) for i in range(200)]
    assert choose([4], known, random.Random(0)) == 4


@pytest.mark.parametrize("name", sorted(set(selection.names()) - {"random"}))
def test_policies_prefer_the_better(name: str) -> None:
    known = archive({n: [2.0 + n / 10] for n in range(1, 9)})
    choose = selection.policy(name)
    count = Counter(choose(range(1, 9), known, random.Random(i)) for i in range(300))
    assert sum(count[n] for n in (1, 2, 3, 4)) > 2 * sum(count[n] for n in (5, 6, 7, 8))


def test_a_tournament_compares_at_the_highest_common_rung() -> None:
    known = archive({1: [2.5, 2.0, 1.5], 2: [2.4, 2.1], 3: [2.6, 1.9]})
    assert selection.policy("tournament")([1, 2, 3], known, random.Random(0)) == 3


def test_within_one_sigma_the_cheaper_wins_a_tournament_then_who_has_fewer_children() -> None:
    known = archive({1: [2.0], 2: [2.005], 3: [2.3]}, flops={1: 20, 2: 10, 3: 1})
    choose = selection.policy("tournament")
    assert choose([1, 2, 3], known, random.Random(0)) == 1  # neither dominates: the loss decides
    known.offspring[1] = 4
    assert choose([1, 2, 3], known, random.Random(0)) == 2
    dearer = archive({1: [2.005], 2: [2.0], 3: [2.3]}, flops={1: 20, 2: 10, 3: 1})
    dearer.offspring[2] = 4
    assert choose([1, 2, 3], dearer, random.Random(0)) == 2  # it dominates


def test_greedy_takes_the_best_and_truncation_the_best_quarter() -> None:
    known = archive({n: [2.0 + n / 10] for n in range(1, 9)})
    assert {selection.policy("greedy")(range(1, 9), known, random.Random(i)) for i in range(30)} == {1}
    assert {selection.policy("truncation")(range(1, 9), known, random.Random(i)) for i in range(30)} == {1, 2}


def test_lexicase_and_nsga2_keep_whoever_is_best_in_something() -> None:
    known = archive({1: [2.0], 2: [2.5], 3: [2.6]}, flops={1: 90, 2: 1, 3: 99})
    for name in ("lexicase", "nsga2"):
        count = Counter(selection.policy(name)([1, 2, 3], known, random.Random(i)) for i in range(300))
        assert count[1] > 60
        assert count[2] > 60
        assert count[3] == 0


POINTS = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=12)


@given(POINTS)
def test_ranks_are_fronts(points: list[tuple[int, int]]) -> None:
    found = ranks(points)
    for i, own in enumerate(found):
        above = [found[j] for j in range(len(points)) if dominates(points[j], points[i])]
        assert own == (max(above) + 1 if above else 0)


def test_the_outermost_are_alone_and_the_others_by_their_neighbours() -> None:
    assert crowding([(0, 4), (1, 2), (2, 1), (4, 0)]) == [
        float("inf"),
        pytest.approx(2 / 4 + 3 / 4),
        pytest.approx(3 / 4 + 2 / 4),
        float("inf"),
    ]
