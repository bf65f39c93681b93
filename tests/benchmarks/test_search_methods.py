"""Searches over the table: each repeats itself, pays for what it looks up, finds what there is to find."""

from __future__ import annotations

import statistics

import pytest

from benchmarks.search.__main__ import TRAININGS, curve
from benchmarks.search.methods import METHODS
from benchmarks.search.replayed import confirmed
from benchmarks.search.space import BASE, Table, architectures

TABLE = Table.load()
LOSSES = {point: confirmed(TABLE, point) for point in architectures()}
FULL = TABLE.flops(BASE, len(TABLE.steps) - 1)
QUICK = [name for name in METHODS if "Optuna" not in name]


def run(name: str, repetition: int) -> list[tuple[float, float]]:
    return curve(METHODS[name], TABLE, FULL, LOSSES, repetition)


def gain(name: str, repetitions: int) -> float:
    """The share of the best point's gain that a method has in the end, on the mean."""
    ends = [run(name, repetition)[-1][1] for repetition in range(repetitions)]
    return (LOSSES[BASE] - statistics.fmean(ends)) / (LOSSES[BASE] - min(LOSSES.values()))


@pytest.mark.parametrize("name", QUICK)
def test_a_method_repeats_itself_and_spends_its_budget_and_no_more(name: str) -> None:
    first = run(name, 1)
    assert run(name, 1) == first
    assert 0 < first[-1][0] <= TRAININGS + 4  # a full training of a wide model is two of the base's


def test_ours_finds_most_of_the_gain_a_hundred_times() -> None:
    assert gain("Foundry", 100) > 0.85


def test_ours_beats_random_walks() -> None:
    assert gain("Foundry", 30) > gain("random walks", 30)


@pytest.mark.slow
def test_optuna_finds_most_of_it_too() -> None:
    assert gain("Optuna TPE + successive halving", 2) > 0.7
