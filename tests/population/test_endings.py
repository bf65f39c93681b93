"""Races and ablation: who becomes the incumbent, and which of the champion's edits stay."""

from __future__ import annotations

from dataclasses import replace

from worlds import MENU, World, alone, play

from foundry.trial.outcome import Outcome, Rejected, Scored
from population.confirmation import verdict
from population.orders import Order
from population.search import Search
from population.settings import SEED_MODEL, Settings

PLAN = Settings(tokens=9000, generations=20, population=8, update=10)


class Useful(World):
    """Every second edit gains 0.05; the others seem to, on the split of the search alone."""

    def bear(self, search: Search, order: Order) -> None:
        super().bear(search, order)
        if order.birth:
            useful = [(order.number + place) % 2 for place in range(len(self.operators[order.number]))]
            self.changes[order.number] = [-0.05 * each for each in useful]

    def run(self, search: Search, order: Order) -> Outcome:
        outcome = super().run(search, order)
        if order.split != "val_search" or not isinstance(outcome, Scored):
            return outcome
        return replace(outcome, loss=outcome.loss - 0.05 * len(idle(search, order.number)))


def idle(search: Search, number: int) -> set[int]:
    """Return the places in a candidate's lineage of the edits that only seem to gain."""
    archive = search.archive
    edits = [(n, place) for n in archive.lineage(number) for place in range(len(archive.born[n].operators))]
    return {at for at, (birth, place) in enumerate(edits, start=1) if (birth + place) % 2 == 0}


def test_ablation_drops_what_does_not_pay_and_keeps_what_does() -> None:
    search = alone(PLAN, Useful(failures=False))
    ablating = search.ablating
    assert ablating is not None
    seeming = idle(search, ablating.champion)
    assert seeming
    assert set(ablating.dropped) <= seeming
    assert len(ablating.dropped) >= len(seeming) / 2
    costs = ablating.costs()
    assert all(cost is not None and cost > 0.03 for (place,), cost in costs.items() if place not in seeming)
    assert ablating.reduced == verdict(search).champion
    assert verdict(search).confirmed == ablating.champion


def test_an_edit_that_others_build_on_stays() -> None:
    class Bound(Useful):
        def run(self, search: Search, order: Order) -> Outcome:
            _, without = self.without.get(order.number, (0, ()))
            if 2 in without:
                return Rejected(gate="ablation", reason="another edit builds on it")
            return super().run(search, order)

    ablating = alone(PLAN, Bound(failures=False)).ablating
    assert ablating is not None
    assert ablating.costs()[2,] is None
    assert 2 not in ablating.dropped


def test_reductions_are_numbered_alike_in_a_run_that_is_extended() -> None:
    def numbers(generations: int) -> dict[tuple[int, tuple[int, ...]], int]:
        search = alone(replace(PLAN, generations=generations), Useful(failures=False))
        return {
            (order.reduction.of, order.reduction.without): order.number
            for order in search.orders
            if order.reduction
        }

    short, long = numbers(10), numbers(20)
    assert all(number > PLAN.births for number in (short | long).values())
    assert len({*short.values(), *long.values()}) == len(short | long)


def test_without_room_in_the_budget_nothing_is_ablated() -> None:
    tight = replace(PLAN, generations=10_000, budget=70 * PLAN.tokens, budget_unit="tokens")
    search = alone(tight, Useful(failures=False))
    if search.ablating is not None:
        assert search.ablating.skipped or search.ablating.costs()
    assert search.archive.spending.total.tokens <= 1.05 * 70 * PLAN.tokens


def test_where_only_births_can_be_paid_their_edits_go_together() -> None:
    class Whole(Useful):
        """Every second birth gains."""

        def bear(self, search: Search, order: Order) -> None:
            super().bear(search, order)
            if order.birth:
                gain = 0.05 * (order.number % 2)
                self.changes[order.number] = [-gain for _ in self.operators[order.number]]

    def closed(*closings: tuple[int, int]) -> Search:
        search = Search(replace(PLAN, budget=3600, budget_unit="seconds"), MENU)
        for orders, allowance in closings:
            search.close(orders, allowance)
        play(search, Whole(failures=False), 1, lambda running: 0)
        return search

    plenty = closed((100, 400))
    assert plenty.ablating is not None
    births = plenty.archive.edits(plenty.ablating.champion)
    first = next(order for order in plenty.orders if order.reduction)
    done = sum(order.split == "val_confirm" for order in plenty.orders[: first.index])
    search = closed((100, 400), (first.index, done + len(births) + 8))
    ablating = search.ablating
    assert ablating is not None
    assert max(map(len, births)) > 1
    assert list(ablating.costs()) == births
    assert set(ablating.dropped) == {
        place
        for member, birth in zip(search.archive.lineage(ablating.champion), births, strict=True)
        for place in birth
        if member % 2 == 0
    }
    taken = [order.reduction.without for order in search.orders if order.reduction]
    assert set(births) <= set(taken)


def test_what_the_budget_leaves_goes_to_the_edits_of_births_that_stay() -> None:
    def closed(*closings: tuple[int, int]) -> Search:
        search = Search(replace(PLAN, budget=3600, budget_unit="seconds"), MENU)
        for orders, allowance in ((100, 400), *closings):
            search.close(orders, allowance)
        play(search, Useful(failures=False), 1, lambda running: 0)
        return search

    plenty = closed()
    assert plenty.ablating is not None
    births = plenty.archive.edits(plenty.ablating.champion)
    first = next(order.index for order in plenty.orders if order.reduction)
    done = sum(order.split == "val_confirm" for order in plenty.orders[:first])
    tight = first, done + len(births) + 8  # not enough for each edit
    short = closed(tight)
    assert short.ablating is not None
    whole = next(order.index for order in short.orders if order.split == "test")
    long = closed(tight, (whole, 400)).ablating
    assert long is not None
    stayed = [birth for birth in births if len(birth) > 1 and not set(birth) <= set(long.dropped)]
    singles = [(place,) for birth in stayed for place in birth]
    assert singles
    assert set(long.costs()) == {*births, *singles}
    assert set(births) <= set(short.ablating.costs()) < set(long.costs())
    assert set(short.ablating.dropped) < set(long.dropped) <= idle(short, long.champion)
    assert long.reduced != short.ablating.reduced


def test_a_better_challenger_takes_over() -> None:
    search = alone(PLAN, Useful(failures=False))
    assert search.breeding.races.incumbent != SEED_MODEL
    raced = [o for o in search.orders if o.split == "val_search" and o.seed in (1, 2, 3) and o.number]
    assert {o.seed for o in raced} == {1, 2, 3}


def test_an_edit_that_seemed_idle_with_one_seed_does_not_keep_the_others() -> None:
    class Misleading(Useful):
        """The first useful edit of the champion costs nothing to take out with the first of its seeds."""

        def run(self, search: Search, order: Order) -> Outcome:
            outcome = super().run(search, order)
            _, without = self.without.get(order.number, (0, ()))
            ablating = search.ablating
            if ablating is None or without != (self.lucky(search),) or order.seed != ablating.seeds[0]:
                return outcome
            assert isinstance(outcome, Scored)
            return replace(outcome, loss=outcome.loss - 0.08)

        def lucky(self, search: Search) -> int:
            assert search.ablating is not None
            edits = {place for birth in search.archive.edits(search.ablating.champion) for place in birth}
            return min(edits - idle(search, search.ablating.champion))

    world = Misleading(failures=False)
    search = alone(PLAN, world)
    ablating = search.ablating
    assert ablating is not None
    assert world.lucky(search) not in ablating.dropped
    assert len(ablating.dropped) >= len(idle(search, ablating.champion)) / 2
