"""The race: its rule by hand, and how often the wrong one wins."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from population.race import verdict

SEEDS = (11, 12, 13, 14)


def race(differences: Sequence[float]) -> tuple[str, int]:
    """Run a whole race; return how it ends and how many seeds it took."""
    challenger: dict[int, float] = {}
    incumbent: dict[int, float] = {}
    while not isinstance(result := verdict(challenger, incumbent, SEEDS), str):
        challenger[result] = 2.0 + differences[SEEDS.index(result)]
        incumbent[result] = 2.0
    return result, len(challenger)


@pytest.mark.parametrize(
    ("differences", "end"),
    [
        ([-0.1, -0.1, -0.1, -0.1], ("won", 4)),
        ([0.1, 0.1, -0.9, -0.9], ("lost", 2)),  # trails, worse on two: clearly worse
        ([-0.3, 0.1, 0.1, 0.0], ("won", 4)),  # worse on two, but it leads
        ([-0.1, 0.1, 0.1, -0.9], ("lost", 3)),
        ([0.3, -0.1, -0.1, 0.0], ("lost", 4)),  # trails, worse on one: runs to the end
        ([0.3, -0.2, -0.2, 0.0], ("won", 4)),
        ([0.0, 0.0, 0.0, 0.0], ("lost", 4)),  # an edit that changes nothing takes nothing over
    ],
)
def test_races_by_hand(differences: list[float], end: tuple[str, int]) -> None:
    assert race(differences) == end


def test_the_next_seed_is_the_first_that_either_lacks() -> None:
    assert verdict({}, {11: 2.0, 12: 2.0}, SEEDS) == 11
    assert verdict({11: 1.9, 12: 1.9}, {12: 2.0}, SEEDS) == 11
    assert verdict({11: 1.9, 13: 9.0}, {11: 2.0, 12: 2.0, 13: 2.0}, SEEDS) == 12
    assert verdict({11: 1.9, 5: 9.0}, {11: 2.0, 5: 2.0}, (11,)) == "won"


@given(st.lists(st.integers(-9, 9).map(float), min_size=4, max_size=4))
def test_the_winner_has_the_lower_mean_and_results_in_advance_change_nothing(
    differences: list[float],
) -> None:
    end, ran = race(differences)
    everything = verdict(
        {seed: 2.0 + d for seed, d in zip(SEEDS, differences, strict=True)}, dict.fromkeys(SEEDS, 2.0), SEEDS
    )
    assert everything == end
    if end == "won":
        assert sum(differences) < 0
        assert ran == 4


@pytest.mark.parametrize(
    ("worse", "wins", "takes"),
    [(-1.0, 0.947, 3.9), (0.0, 0.422, 3.3), (0.5, 0.125, 2.8), (1.0, 0.017, 2.4)],
)
def test_wins_and_lengths_are_as_documented(worse: float, wins: float, takes: float) -> None:
    rng = np.random.default_rng(0)
    runs = 3000
    ends = [race(list(rng.normal(worse, 1, 4))) for _ in range(runs)]
    share = sum(end == "won" for end, _ in ends) / runs
    assert share == pytest.approx(wins, abs=3.5 * (wins * (1 - wins) / runs) ** 0.5)
    assert sum(ran for _, ran in ends) / runs == pytest.approx(takes, abs=0.1)
