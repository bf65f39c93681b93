"""The search decides the same whatever the workers, and spends what the ladder promises."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foundry.trial.outcome import Crashed, Outcome, Rejected, Scored
from population import selection
from population.confirmation import verdict
from population.rungs import Rungs
from population.search import SEED_MODEL, Order, Search, SeedModelFailed, Settings

SMALL = Settings(tokens=9000, generations=4, population=5, confirm_seeds=6)


def scored(loss: float) -> Scored:
    return Scored(
        loss=loss,
        bits_per_byte=loss / 0.7,
        params=1,
        train_flops=1,
        tokens=1,
        tokens_per_second=1.0,
        seconds=1.0,
        train_seconds=1.0,
        kv_bytes_per_token=1,
        peak_memory=1,
    )


class World:
    """Candidates with a true quality that they hand on, noise by seed, and a gain from longer training."""

    def __init__(self, step: float = 0.02, noise: float = 0.01) -> None:
        self.quality = {SEED_MODEL: 2.0}
        self.step, self.noise = step, noise

    def run(self, order: Order) -> Outcome:
        if order.birth:
            change = random.Random(f"quality {order.number}").gauss(0, self.step)
            self.quality[order.number] = self.quality[order.birth.parent] + change
            if order.number % 7 == 3:
                return Rejected(gate="finite", reason="NaN")
            if order.number % 11 == 5:
                return Crashed(reason="RuntimeError")
        luck = random.Random(f"{order.number} {order.seed} {order.split}").gauss(0, self.noise)
        return scored(self.quality[order.number] + luck + 0.4 * (2 - order.rung))


def play(search: Search, world: World, workers: int, pick: Callable[[list[Order]], int]) -> list[Order]:
    """Carry a search to its end; `pick` says which of the running trials ends next."""
    running: list[Order] = []
    while True:
        while len(running) < workers and (order := search.ask()):
            running.append(order)
        if search.finished:
            return search.orders
        order = running.pop(pick(running))
        search.tell(order, world.run(order))


def alone(plan: Settings, world: World | None = None) -> Search:
    search = Search(plan)
    play(search, world or World(), 1, lambda running: 0)
    return search


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 12), st.randoms(use_true_random=False))
def test_any_number_of_workers_in_any_order_gives_the_same_orders(workers: int, rng: random.Random) -> None:
    search = Search(SMALL)
    orders = play(search, World(), workers, lambda running: rng.randrange(len(running)))
    reference = alone(SMALL)
    assert orders == reference.orders
    assert verdict(search) == verdict(reference)


def test_more_generations_begin_with_the_same_births() -> None:
    short, long = alone(SMALL), alone(replace(SMALL, generations=9))
    assert long.births[: len(short.births)] == short.births
    assert len(long.births) == 45


def test_another_seed_is_another_run() -> None:
    plan = replace(SMALL, generations=12)
    assert alone(plan).births != alone(replace(plan, seed=1)).births


def test_orders_wait_for_outcomes_older_than_the_lag() -> None:
    search = Search(SMALL)
    asked = []
    while order := search.ask():
        asked.append(order)
    assert len(asked) == SMALL.lag + 1
    for order in asked[1:]:
        search.tell(order, scored(2.0))
    assert search.ask() is None
    search.tell(asked[0], scored(2.0))
    assert search.ask() is not None


def test_the_ladder_spends_what_it_promises() -> None:
    plan = replace(SMALL, generations=20, population=8)
    search = alone(plan, World())
    count = Counter(order.rung for order in search.orders if order.split == "val_search" and order.seed == 0)
    scored_at_0 = len(search.rungs.losses[0])
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
    search, world = Search(replace(SMALL, generations=12)), World()
    dropped: set[int] = set()
    running: list[Order] = []
    while not search.finished:
        while len(running) < 3 and (order := search.ask()):
            if order.rung > 0 and order.split == "val_search" and order.seed == 0:
                assert order.number not in dropped
            running.append(order)
        if running:
            order = running.pop(0)
            search.tell(order, world.run(order))
            dropped |= {o.number for o in search.orders} - search.resumable()
    assert len(dropped) > 30


def test_too_few_finalists_are_topped_up_side_by_side() -> None:
    search = alone(replace(SMALL, generations=1, population=6))
    assert search.finalists is not None
    assert len(search.finalists) == SMALL.finalists


def test_the_best_of_its_rung_climbs() -> None:
    rungs = Rungs(3, 3, always=-1)
    for number, loss in enumerate([2.4, 2.1, 2.3, 2.2, 2.6]):
        rungs.record(number, 0, loss)
    assert rungs.promotable() == (1, 0)
    rungs.promote(1, 0)
    assert rungs.promotable() is None  # one of five: the quota of a third is spent
    rungs.record(5, 0, 2.15)
    assert rungs.promotable() == (5, 0)
    assert rungs.waiting(0) == [5, 3, 2, 0, 4]


def test_confirmation_uses_fresh_seeds_and_an_unseen_split() -> None:
    search = alone(SMALL)
    confirming = [order for order in search.orders if order.split == "val_confirm"]
    searching = {order.seed for order in search.orders if order.split == "val_search"}
    assert not searching & {order.seed for order in confirming}
    numbers = {order.number for order in confirming}
    assert numbers == {SEED_MODEL, *(search.finalists or [])}
    assert Counter(order.number for order in confirming) == dict.fromkeys(numbers, SMALL.confirm_seeds)
    assert {order.rung for order in confirming} == {search.rungs.top}


def test_a_real_gain_is_confirmed_and_crowned() -> None:
    result = verdict(alone(replace(SMALL, generations=20), World(step=0.05)))
    assert result.champion != SEED_MODEL
    assert result.beyond_noise
    assert result.finalists[0].comparison.high < 0


def test_null_mutations_are_hardly_ever_called_better() -> None:
    claims = sum(
        verdict(alone(replace(SMALL, seed=seed), World(step=0.0))).beyond_noise
        for seed in range(0, 4000, 100)
    )
    assert claims <= 4  # 5% of 40 runs are 2


def test_a_seed_model_that_fails_ends_the_run() -> None:
    search = Search(SMALL)
    order = search.ask()
    assert order is not None
    with pytest.raises(SeedModelFailed, match="finite, NaN"):
        search.tell(order, Rejected(gate="finite", reason="NaN"))


def test_a_run_in_which_every_child_fails_ends_with_the_seed_model() -> None:
    search = Search(SMALL)
    while True:
        order = search.ask()
        if order is None:
            assert search.finished
            break
        search.tell(order, Crashed(reason="no") if order.number else scored(2.0))
    assert verdict(search).champion == SEED_MODEL


@pytest.mark.parametrize("name", selection.names())
def test_policies_choose_among_the_living_and_depend_on_the_generator_alone(name: str) -> None:
    rungs = Rungs(2, 3, always=0)
    for number in range(10):
        rungs.record(number, 0, 2.0 + number / 100)
    choose = selection.policy(name)
    living = [3, 5, 7, 9]
    chosen = [choose(living, rungs, random.Random(i)) for i in range(200)]
    assert set(chosen) <= set(living)
    assert chosen == [choose(living, rungs, random.Random(i)) for i in range(200)]
    assert [choose([4], rungs, random.Random(0))] == [4]


def test_a_tournament_compares_at_the_highest_common_rung() -> None:
    rungs = Rungs(3, 3, always=0)
    for number, losses in {1: [2.5, 2.0, 1.5], 2: [2.4, 2.1], 3: [2.6, 1.9]}.items():
        for rung, loss in enumerate(losses):
            rungs.record(number, rung, loss)
    assert selection.policy("tournament")([1, 2, 3], rungs, random.Random(0)) == 3
