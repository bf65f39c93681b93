"""The search decides the same whatever the workers, and spends what the ladder and the budget promise."""

from __future__ import annotations

import functools
import random
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from worlds import FLOPS, MENU, World, alone, play, scored

from foundry.trial.outcome import Crashed, Rejected
from population.archive import CLIMBS
from population.confirmation import verdict
from population.looks import LEVEL
from population.orders import Birth, Order
from population.rungs import Rungs
from population.search import Search, SeedModelFailed
from population.settings import SEED_MODEL, Settings
from population.spending import Spending

SMALL = Settings(tokens=9000, generations=4, population=5, update=10)


@functools.cache
def reference() -> Search:
    return alone(SMALL)


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 12), st.randoms(use_true_random=False))
def test_any_number_of_workers_in_any_order_gives_the_same_orders(workers: int, rng: random.Random) -> None:
    search = Search(SMALL, MENU)
    orders = play(search, World(), workers, lambda running: rng.randrange(len(running)))
    assert orders == reference().orders
    assert search.breeding.credit.table() == reference().breeding.credit.table()
    assert search.archive.confirmed == reference().archive.confirmed
    assert search.archive.tested == reference().archive.tested


def test_more_generations_begin_with_the_same_births() -> None:
    short, long = alone(SMALL).archive.births, alone(replace(SMALL, generations=9)).archive.births
    assert long[: len(short)] == short
    assert len(long) == 45


def test_another_seed_is_another_run() -> None:
    plan = replace(SMALL, generations=12)
    assert alone(plan).archive.births != alone(replace(plan, seed=1)).archive.births


def test_the_first_trial_goes_alone_because_it_tells_what_a_token_costs() -> None:
    search = Search(SMALL, MENU)
    first = search.ask()
    assert first is not None
    assert search.ask() is None
    search.tell(first, scored(2.0, tokens=1000, flops=1000 * FLOPS))
    assert search.ask() is not None


def test_orders_wait_for_outcomes_older_than_the_lag() -> None:
    search, world = Search(SMALL, MENU), World()
    first = search.ask()
    assert first is not None
    search.tell(first, world.run(search, first))
    asked = []
    while order := search.ask():
        world.bear(search, order)
        asked.append(order)
    assert len(asked) == SMALL.lag + 1
    for order in asked[1:]:
        search.tell(order, world.run(search, order))
    assert search.ask() is None
    search.tell(asked[0], world.run(search, asked[0]))
    assert search.ask() is not None


def test_the_ladder_spends_what_it_promises() -> None:
    plan = replace(SMALL, generations=20, population=8)
    search = alone(plan)
    own = [order for order in search.orders if order.split == "val_search" and order.seed == 0]
    count = Counter(order.rung for order in own)
    scored_at_0 = len(search.archive.rungs.losses[0])
    assert count[0] == plan.births + 1
    assert count[1] <= scored_at_0 // plan.eta + 1  # and the seed model, which always climbs
    assert count[2] <= count[1] // plan.eta + 1
    assert count[2] >= plan.finalists


def test_nobody_is_promoted_twice_or_out_of_turn() -> None:
    search = alone(replace(SMALL, generations=12))
    seen: set[tuple[int, int]] = set()
    for order in search.orders:
        if order.split == "val_search" and order.seed == 0:
            assert (order.number, order.rung) not in seen
            assert order.rung == 0 or (order.number, order.rung - 1) in seen
            seen.add((order.number, order.rung))


def test_who_climbs_was_resumable_all_the_while() -> None:
    search, world = Search(replace(SMALL, generations=12), MENU), World()
    dropped: set[int] = set()
    running: list[Order] = []
    while not search.finished:
        while len(running) < 3 and (order := search.ask()):
            world.bear(search, order)
            if order.rung > 0 and order.split == "val_search" and order.seed == 0:
                assert order.number not in dropped
            running.append(order)
        if running:
            order = running.pop(0)
            search.tell(order, world.run(search, order))
            dropped |= {o.number for o in search.orders} - search.resumable()
    assert len(dropped) > 30


def test_too_few_finalists_are_topped_up() -> None:
    search = alone(replace(SMALL, generations=1, population=6))
    assert search.confirming is not None
    assert len(search.confirming.finalists) == SMALL.finalists


def test_the_best_of_its_rung_climbs() -> None:
    def sigma(rung: int) -> float:
        return 0.1

    rungs = Rungs(3, 3, always=-1)
    for number, loss in enumerate([2.4, 2.1, 2.3, 2.2, 2.6]):
        rungs.record(number, 0, loss)
    assert rungs.promotable(sigma) == (1, 0)
    rungs.promote(1, 0)
    assert rungs.promotable(sigma) is None  # one of five: the quota of a third is spent
    rungs.record(5, 0, 2.15)
    assert rungs.promotable(sigma) == (5, 0)
    assert rungs.waiting(0) == [5, 3, 2, 0, 4]


def test_a_record_climbs_whatever_the_quota() -> None:
    rungs = Rungs(3, 3, always=-1)
    for number, loss in enumerate([2.4, 2.1, 2.3]):
        rungs.record(number, 0, loss)
    rungs.promote(1, 0)
    rungs.record(3, 0, 2.07)
    assert rungs.promotable(lambda rung: 0.05) is None  # within the noise
    assert rungs.promotable(lambda rung: 0.02) == (3, 0)


def test_confirmation_uses_fresh_seeds_and_an_unseen_split() -> None:
    search = alone(replace(SMALL, ablation_seeds=0))
    confirming = [order for order in search.orders if order.split == "val_confirm"]
    searching = {order.seed for order in search.orders if order.split == "val_search"}
    assert search.confirming is not None
    assert not searching & {order.seed for order in confirming}
    assert {order.number for order in confirming} == {SEED_MODEL, *search.confirming.finalists}
    seeds = Counter(order.number for order in confirming)
    assert set(seeds.values()) <= set(SMALL.looks)
    assert seeds[SEED_MODEL] == max(seeds.values())
    assert {order.rung for order in confirming} == {search.archive.rungs.top}


def test_a_real_gain_is_confirmed_crowned_and_tested_with_the_seeds_of_confirmation() -> None:
    search = alone(replace(SMALL, generations=20), World(step=0.05))
    result = verdict(search)
    assert result.beyond_noise
    assert result.finalists[0].standing.p_adjusted <= LEVEL
    assert result.finalists[0].comparison.high < 0
    assert result.test is not None
    assert result.test.mean_difference < -0.05
    tested = [order for order in search.orders if order.split == "test"]
    assert {order.number for order in tested} == {SEED_MODEL, result.champion}
    trained = {(order.number, order.seed) for order in search.orders if order.split == "val_confirm"}
    assert {(order.number, order.seed) for order in tested} <= trained


def test_null_mutations_are_hardly_ever_called_better() -> None:
    runs = [alone(replace(SMALL, seed=seed), World(step=0.0)) for seed in range(0, 8000, 100)]
    claims = sum(run.confirming is not None and run.confirming.champion is not None for run in runs)
    assert claims <= 4  # 1% of 80 runs is less than one; five by chance are one case in a thousand


def test_a_seed_model_that_fails_ends_the_run() -> None:
    search = Search(SMALL, MENU)
    order = search.ask()
    assert order is not None
    with pytest.raises(SeedModelFailed, match="finite, NaN"):
        search.tell(order, Rejected(gate="finite", reason="NaN"))


def test_a_run_in_which_every_child_fails_ends_with_the_seed_model() -> None:
    search, world = Search(SMALL, MENU), World()
    while order := search.ask():
        world.bear(search, order)
        search.tell(order, Crashed(reason="no") if order.number else world.run(search, order))
    assert search.finished
    assert verdict(search).champion == SEED_MODEL


@pytest.mark.parametrize("unit", ["flops", "tokens"])
@pytest.mark.parametrize("trainings", [60, 150, 400])
def test_a_run_stops_at_its_budget(unit: str, trainings: int) -> None:
    budget = trainings * SMALL.tokens * (FLOPS if unit == "flops" else 1)
    plan = replace(SMALL, generations=10_000, budget=budget, budget_unit=unit)
    search = alone(plan, World(step=0.05))
    spent = getattr(search.archive.spending.total, unit)
    assert spent <= 1.05 * budget
    assert spent >= 0.68 * budget  # up to 30% are kept for confirmation, which may have no need of it
    assert len(search.archive.births) > trainings / 2


def test_all_that_is_run_is_charged() -> None:
    search = alone(replace(SMALL, race_seeds=0, ablation_seeds=0), World(failures=False))
    gates = 2 * SMALL.update * len(search.archive.births)
    deepest: dict[tuple[int, int], int] = {}
    for order in search.orders:
        key = (order.number, order.seed)
        deepest[key] = max(deepest.get(key, 0), SMALL.tokens // SMALL.share(order.rung))
    assert search.archive.spending.total.tokens == sum(deepest.values()) + gates
    assert search.archive.spending.total.flops == FLOPS * search.archive.spending.total.tokens


def test_a_crash_is_charged_in_full_and_a_rejection_for_its_gates() -> None:
    spending = Spending(SMALL)
    first = Order(index=0, number=0, rung=0, seed=0)
    spending.settle(first, scored(2.0, tokens=1000, flops=1000 * FLOPS), twin=False)
    birth = Birth(number=1, generation=1, parent=0)
    order = Order(index=1, number=1, rung=0, seed=0, birth=birth)
    gates = 2 * SMALL.update
    spending.expect(order)
    assert spending.total.tokens == 1000 + SMALL.tokens // 9 + gates
    spending.settle(order, Crashed(reason="no"), twin=False)
    assert spending.total.tokens == 1000 + SMALL.tokens // 9 + gates
    spending.settle(order, Rejected(gate="finite", reason="NaN"), twin=False)
    assert spending.total.tokens == 1000 + gates
    assert spending.total.flops == FLOPS * spending.total.tokens


@given(updates=st.integers(1, 50), size=st.integers(1, 40), price=st.integers(10**5, 10**9))
def test_a_rung_pays_for_all_updates_of_the_seed_model(updates: int, size: int, price: int) -> None:
    spending = Spending(replace(SMALL, tokens=9 * updates * size, update=size))
    first = scored(2.0, tokens=updates * size, flops=updates * price)
    spending.settle(Order(index=0, number=0, rung=0, seed=0), first, twin=False)
    assert [spending.until(rung)[0] // price for rung in range(3)] == [updates, 3 * updates, 9 * updates]


def test_a_search_that_is_closed_ends_with_what_it_has_and_is_replayed() -> None:
    plan = replace(SMALL, generations=100, budget=3600, budget_unit="seconds")

    def closed() -> Search:
        search = Search(plan, MENU)
        search.close(orders=60, allowance=40)
        play(search, World(step=0.05), 2, lambda running: 0)
        return search

    search = closed()
    assert search.orders == closed().orders
    assert all(order.index < 60 for order in search.orders if order.birth)
    confirmed = [order for order in search.orders if order.split == "val_confirm"]
    assert 0 < len(confirmed) <= 40
    assert len({order.index for order in confirmed} & set(range(60))) == 0


def test_a_closed_search_climbs_a_little_and_is_held_to_what_was_said_last() -> None:
    plan = replace(SMALL, generations=100, budget=3600, budget_unit="seconds")

    def confirming(*closings: tuple[int, int]) -> list[Order]:
        search = Search(plan, MENU)
        for orders, allowance in closings:
            search.close(orders, allowance)
        play(search, World(step=0.05), 2, lambda running: 0)
        late = [order for order in search.orders[60:] if order.split == "val_search"]
        assert not any(order.birth for order in late)
        assert sum((3**order.rung - 3 ** (order.rung - 1)) / 9 for order in late) <= CLIMBS
        return [order for order in search.orders if order.split == "val_confirm"]

    plenty = confirming((60, 400))
    few = confirming((60, 400), (plenty[0].index, 25))
    assert 0 < len(few) <= 25 < len(plenty)
