"""Operators that pay are used more; numbers are sampled within their ranges; islands exchange their best."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace

import pytest
from worlds import RATE, World, alone, scored

from foundry.trial.outcome import Outcome, Scored
from population import samplers
from population.archive import Archive
from population.confirmation import verdict
from population.credit import FLOOR, Credit
from population.islands import Islands
from population.orders import Gene, Menu, Order
from population.search import Search
from population.settings import SEED_MODEL, Settings

LONG = Settings(tokens=9000, generations=20, population=10, update=10)
EFFECTS = {"good": -0.02, "harmful": 0.05, "idle": 0.0}


def drawn(world: World) -> Counter[str]:
    """Count how many edits each operator has made."""
    return Counter(name for names in world.operators.values() for name in names)


def test_operators_that_pay_are_drawn_more_often() -> None:
    world = World(effects=EFFECTS, step=0.005)
    alone(LONG, world)
    count = drawn(world)
    assert count["good"] > 2 * count["harmful"]
    assert count["harmful"] > FLOOR / 3 * LONG.births / 3


def test_the_first_births_have_each_size_and_later_ones_what_has_paid() -> None:
    menu = Menu(operators=("good", *(f"harmful{i}" for i in range(19))))
    effects = {name: -0.02 if name == "good" else 0.05 for name in menu.operators}
    births = alone(LONG, World(effects=effects, step=0.005), menu).archive.births
    sizes = [birth.edits for birth in births]
    assert sizes[: LONG.population] == [*LONG.sizes, *LONG.sizes][: LONG.population]
    assert sum(size == 1 for size in sizes[100:]) > sum(size >= 5 for size in sizes[100:])


def test_an_even_share_of_births_tries_first_what_was_tried_least() -> None:
    credit = Credit([f"o{i:02}" for i in range(40)])
    seen: list[str] = []
    for birth in range(40 * int(1 / FLOOR)):
        name = credit.preference(random.Random(birth))[0]
        seen.append(name)
        credit.learn(name, 3.0 if name == "o07" else -1.0, cost=1.0)
    assert set(seen) == {f"o{i:02}" for i in range(40)}
    assert Counter(seen).most_common(1)[0][0] == "o07"


def test_without_the_bandit_all_are_drawn_alike() -> None:
    world = World(effects=EFFECTS, step=0.005)
    alone(replace(LONG, bandit=False), world)
    count = drawn(world)
    assert min(count.values()) > 0.6 * LONG.births / 3


def test_the_bandit_finds_more_with_the_same_births() -> None:
    found = {}
    for bandit in (True, False):
        qualities = []
        for seed in range(6):
            world = World(effects=EFFECTS, step=0.005)
            search = alone(replace(LONG, seed=seed, bandit=bandit, race_seeds=0, finalists=1), world)
            qualities.append(min(world.quality(birth.number) for birth in search.archive.births))
        found[bandit] = sum(qualities) / len(qualities)
    assert found[True] < found[False]


def test_credit_counts_gains_alone_and_knows_its_operators() -> None:
    credit = Credit(["a", "b"])
    for gain in (1.0, -3.0, 0.5):
        credit.learn("a", gain, cost=1.0)
    credit.learn("crossover", 9.0, cost=1.0)
    (row,) = credit.table()
    assert (row.operator, row.births, row.better, row.gain) == ("a", 3, 2, 0.5)
    assert sorted(credit.preference(random.Random(0))) == ["a", "b"]


@pytest.mark.parametrize("name", samplers.names())
def test_samplers_stay_in_range_and_depend_on_the_generator_alone(name: str) -> None:
    genes = {**RATE, "warmup": replace(RATE["rate"], low=0, high=9, log=False, whole=True)}
    observed = [({"rate": 1e-3 * k, "warmup": float(k)}, 2.0 + abs(k - 4) / 10) for k in range(1, 9)]
    propose = samplers.sampler(name)
    for seed in range(8):
        found = propose(genes, observed, random.Random(seed))
        assert found.keys() == genes.keys()
        assert 1e-4 <= found["rate"] <= 1e-1
        assert found["warmup"] in range(10)
        assert found == propose(genes, observed, random.Random(seed))


@pytest.mark.parametrize("name", ["tpe", "cmaes"])
def test_samplers_that_learn_propose_better_than_chance(name: str) -> None:
    def loss(rate: float) -> float:
        return abs(rate - 0.003)

    rng = random.Random(0)
    tried = [10 ** rng.uniform(-4, -1) for _ in range(40)]
    observed = [({"rate": rate, "idle": rng.uniform(0, 1)}, loss(rate)) for rate in tried]
    genes = {**RATE, "idle": Gene(low=0, high=1)}

    def typical(sampler: str) -> float:
        found = [samplers.sampler(sampler)(genes, observed, random.Random(i))["rate"] for i in range(24)]
        return sorted(loss(rate) for rate in found)[12]

    assert typical(name) < typical("uniform") / 2


class Numbered(World):
    """A world in which every candidate has a number."""

    def bear(self, search: Search, order: Order) -> None:
        super().bear(search, order)
        search.archive.born[order.number] = replace(search.archive.born[order.number], numbers={"rate": 0.01})


def test_most_of_the_first_generation_sets_numbers_and_later_a_share() -> None:
    settings = replace(LONG, population=50, generations=4, bandit=False)
    menu = Menu(operators=("numbers", *(f"other{i}" for i in range(19))), genes=RATE)
    births = alone(settings, Numbered(), menu).archive.births
    first, later = births[:50], births[50:]
    assert 0.55 < sum(bool(birth.numbers) for birth in first) / len(first) < 0.95
    assert 0.2 < sum(bool(birth.numbers) for birth in later) / len(later) < 0.5


def test_numbers_are_proposed_where_the_parent_has_some() -> None:
    menu = Menu(operators=("numbers", "idle"), genes=RATE)
    search = alone(LONG, Numbered(), menu)
    proposed = [birth for birth in search.archive.births if birth.numbers]
    assert len(proposed) > LONG.births / 5
    assert all(birth.operators[0] == "numbers" for birth in proposed)
    assert all(1e-4 <= dict(birth.numbers)["rate"] <= 1e-1 for birth in proposed)
    assert any(dict(birth.numbers)["rate"] != 0.01 for birth in proposed)


def known(settings: Settings) -> Archive:
    archive = Archive(settings)
    for number in range(20):
        archive.apply(Order(number=number, rung=0, seed=0), scored(2.0 + number / 100))
    return archive


def test_the_oldest_leaves_or_without_aging_the_worst() -> None:
    plan = replace(LONG, living=3)
    for aging, expected in ((True, [2, 9, 5]), (False, [0, 2, 5])):
        settings = replace(plan, aging=aging)
        islands = Islands(settings, known(settings).rungs)
        for number in (2, 9, 5):
            islands.rejuvenate(number)
        assert islands.living(0) == expected


def test_the_best_of_an_island_travels_to_the_next() -> None:
    settings = replace(LONG, islands=2, migration=5)
    islands = Islands(settings, known(settings).rungs)
    for number in (2, 4, 7, 9):
        islands.rejuvenate(number)
    assert islands.living(0) == [SEED_MODEL, 2, 4]
    for births in range(10):
        islands.migrate(births)
        assert islands.living(1) == [SEED_MODEL, 7, 9]
    islands.migrate(10)  # the fifth turn of island 0: its best is the seed model, there already
    islands.migrate(11)  # and of island 1
    assert islands.living(1) == [7, 9, SEED_MODEL]
    assert set(islands.living(0)) == {SEED_MODEL, 2, 4}


def test_a_run_on_islands_still_finds_what_pays() -> None:
    plan = replace(LONG, islands=3, migration=8)
    result = verdict(alone(plan, World(effects=EFFECTS, step=0.02)))
    assert result.beyond_noise


def test_programs_that_compute_the_same_are_neither_promoted_nor_parents_nor_paid_twice() -> None:
    class Copies(World):
        def run(self, search: Search, order: Order) -> object:  # type: ignore[override]
            outcome = super().run(search, order)
            return replace(outcome, function=f"f{order.number // 2}") if order.rung == 0 else outcome  # type: ignore[type-var]

    search = alone(replace(LONG, generations=4), Copies(failures=False))  # type: ignore[arg-type]
    twins = set(search.archive.twins)
    assert twins == set(range(1, 41, 2))
    assert not any(order.rung for order in search.orders if order.number in twins)
    assert not any(birth.parent in twins for birth in search.archive.births)
    assert search.archive.spending.saved.tokens == len(twins) * (LONG.tokens // 9)


def test_about_a_tenth_of_births_have_two_different_parents() -> None:
    births = alone(replace(LONG, generations=60), World(step=0.05)).archive.births
    mates = [birth for birth in births if birth.mate is not None]
    assert 0.05 < len(mates) / len(births) < 0.15
    assert all(birth.mate != birth.parent for birth in mates)


def test_without_pairing_every_candidate_has_a_seed_of_its_own() -> None:
    search = alone(replace(LONG, generations=4, pairing=False))
    own = {order.number: order.seed for order in search.orders if order.birth}
    assert len(set(own.values())) == len(own)
    assert any(birth.parent == SEED_MODEL for birth in search.archive.births)
    climbing = [order for order in search.orders if order.rung == 1 and order.number in own]
    assert climbing
    assert all(order.seed == own[order.number] for order in climbing)


def test_gains_are_credited_per_cost_where_first_rungs_differ_in_it() -> None:
    class Dear(World):
        """Good births cost ten times as much as others."""

        def run(self, search: Search, order: Order) -> Outcome:
            outcome = super().run(search, order)
            dear = "good" in self.operators.get(order.number, ()) and isinstance(outcome, Scored)
            return replace(outcome, train_flops=10 * outcome.train_flops) if dear else outcome

    counts = {}
    for kind in (World, Dear):
        world = kind(effects={**EFFECTS, "idle": -0.01}, step=0.005)
        alone(replace(LONG, unit="tokens"), world)
        counts[kind] = drawn(world)["good"]
    assert counts[Dear] < counts[World]
