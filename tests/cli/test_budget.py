"""Budgets as people write them, and the clock that ends a search."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foundry.cli.budget import amount
from foundry.cli.clock import Clock, reserve
from foundry.trial.outcome import Scored
from population.ledger import Ledger
from population.orders import Menu
from population.replay import resumed
from population.search import Search
from population.settings import Settings
from population.stages.confirming import least_trainings


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("60m", (3600, "seconds")),
        ("1.5h", (5400, "seconds")),
        ("90s", (90, "seconds")),
        ("2e15flops", (2 * 10**15, "flops")),
        ("3TFLOPs", (3 * 10**12, "flops")),
        ("50Mtokens", (50_000_000, "tokens")),
    ],
)
def test_amounts(text: str, expected: tuple[int, str]) -> None:
    assert amount(text) == expected


@pytest.mark.parametrize("text", ["", "60", "m", "60 minutes of search", "5Mm", "0s", "1e40flops", "-3h"])
def test_what_is_no_amount_is_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError):
        amount(text)


PLAN = Settings(tokens=900, generations=100, budget=3600, budget_unit="seconds")


def scored(seconds: float) -> Scored:
    return Scored(
        loss=2.0,
        bits_per_byte=2.0,
        params=1,
        train_flops=100,
        work=1,
        tokens=100,
        tokens_per_second=1.0,
        seconds=seconds,
        train_seconds=seconds,
        kv_bytes_per_token=1,
        peak_memory=1,
    )


@pytest.mark.parametrize("seconds_of_a_rung", [1.0, 400.0])
def test_a_search_with_time_left_goes_on(seconds_of_a_rung: float, tmp_path: Path) -> None:
    search = Search(PLAN)
    with Ledger.create(tmp_path / "ledger.sqlite", {}) as ledger:
        order = search.ask()
        assert order is not None
        search.tell(order, scored(seconds_of_a_rung))
        Clock(search, ledger, workers=2).check()
        assert ledger.events("closed") == []


def test_when_it_closes_the_ledger_knows_first_and_a_resumed_run_does_the_same(tmp_path: Path) -> None:
    hasty = Settings(tokens=900, generations=100, budget=1, budget_unit="seconds")
    search = Search(hasty)
    order = search.ask()
    assert order is not None
    search.tell(order, scored(1e-3))
    with Ledger.create(tmp_path / "ledger.sqlite", {}) as ledger:
        clock = Clock(search, ledger, workers=2)
        while not ledger.events("closed"):  # for at most a second
            clock.check()
        (event,) = ledger.events("closed")
        clock.check()
        assert ledger.events("closed") == [event]
        assert event["orders"] == 1
        again = resumed(hasty, Menu(), ledger)
    for one in (search, again):
        if one is again:
            first = one.ask()
            assert first is not None
            one.tell(first, scored(1e-3))
        while (order := one.ask()) is not None:
            assert order.birth is None
            one.tell(order, scored(1e-3))
    assert [o.split for o in search.orders] == [o.split for o in again.orders]


def test_what_may_follow_is_said_anew_where_all_waits(tmp_path: Path) -> None:
    search = Search(Settings(tokens=900, generations=100, budget=1, budget_unit="seconds"))
    with Ledger.create(tmp_path / "ledger.sqlite", {}) as ledger:
        clock = Clock(search, ledger, workers=2)
        while not ledger.events("closed"):  # for at most a second
            clock.check()
        first = search.ask()
        assert first is not None
        clock.check()  # a trial is under way
        assert len(ledger.events("closed")) == 1
        search.tell(first, scored(1e-3))
        clock.check()
        clock.check()
        assert [event["orders"] for event in ledger.events("closed")] == [0, 1]


@given(pace=st.floats(0.1, 1e4), budget=st.floats(60, 1e5), test=st.floats(0, 10))
def test_where_half_of_a_budget_can_confirm_somebody_so_much_is_kept(
    pace: float, budget: float, test: float
) -> None:
    kept = reserve(PLAN, budget, pace, test)
    least = least_trainings(PLAN)
    assert kept <= max(0.5 * budget, 0.3 * budget)
    assert int(0.9999 * kept / pace) >= least or kept == pytest.approx(0.5 * budget)
