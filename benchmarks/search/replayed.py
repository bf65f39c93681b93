"""Searches over the table of real trainings: every score is looked up, every FLOP charged, none spent."""

from __future__ import annotations

import itertools
import random
import statistics
from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.search.space import BASE, FACTORS, Point, Table, architecture, label
from foundry.trial.outcome import Outcome, Scored
from population.orders import Birth, Born, Menu, Order
from population.replay import NOTHING_NEW
from population.search import Search
from population.settings import SEED_MODEL, Settings

MENU = Menu(operators=tuple(FACTORS))
_PATIENCE = 60  # births in a row without a new point, after which a search has nowhere to go


@dataclass(frozen=True)
class Step:
    """A moment of a search: FLOPs spent so far, and the point that it would hand over now."""

    flops: int
    point: Point


def confirmed(table: Table, point: Point) -> float:
    """Return the mean over all seeds of the loss on the split that no search sees."""
    return statistics.fmean(table.confirm(point, seed) for seed in table.seeds)


class Replay:
    """Stands in for nursery, pool and trainer of one search."""

    def __init__(self, table: Table, settings: Settings) -> None:
        self._table = table
        self.search = Search(settings, MENU)
        self._points: dict[int, Point] = {SEED_MODEL: BASE}
        self._parents: dict[int, tuple[int, ...]] = {SEED_MODEL: ()}
        self._known = {BASE}

    def steps(self, flops: int) -> Iterator[Step]:
        """Run until so many FLOPs are spent, or nothing new is found any more, one trial at a time."""
        search, in_vain = self.search, 0
        while search.archive.spending.total.flops < flops and in_vain < _PATIENCE:
            order = search.ask()
            if order is None or order.split != "val_search":
                return
            born = self._bear(order)
            in_vain = 0 if born else in_vain + 1
            search.tell(order, self._outcome(order) if born else NOTHING_NEW)
            yield Step(search.archive.spending.total.flops, self._points[handed_over(search)])

    def _bear(self, order: Order) -> bool:
        """Make the candidate of an order; False where every mutation of its parent is known."""
        if order.birth is None:
            return True
        for names, child in itertools.chain(self._of_two(order.birth), self._of_one(order.birth)):
            if child not in self._known:
                self._known.add(child)
                self._points[order.number] = child
                self.search.introduce(order.number, Born(operators=names, numbers={}))
                return True
        self.search.introduce(order.number, Born(operators=(), numbers={}))
        return False

    def _of_one(self, birth: Birth) -> Iterator[tuple[tuple[str, ...], Point]]:
        """Yield the mutations of a parent, operator by operator, as the nursery tries them."""
        self._parents[birth.number] = (birth.parent,)
        rng = random.Random(f"edit/{self.search.settings.seed}/{birth.number}")
        point, made = self._points[birth.parent], ()
        for name in birth.operators:
            place = list(FACTORS).index(name)
            values = [value for value in FACTORS[name] if value != point[place]]
            for value in rng.sample(values, len(values)):
                child, names = (*point[:place], value, *point[place + 1 :]), (*made, name)
                if len(names) < birth.edits:
                    point, made = child, names
                    break
                yield names, child

    def _of_two(self, birth: Birth) -> Iterator[tuple[tuple[str, ...], Point]]:
        """Yield what both parents have changed since their last common ancestor, where that goes together."""
        if birth.mate is None:
            return
        ancestor = max(self._ancestors(birth.parent) & self._ancestors(birth.mate))
        if ancestor in (birth.parent, birth.mate):
            return
        self._parents[birth.number] = (birth.parent, birth.mate)
        values = list(zip(*(self._points[n] for n in (ancestor, birth.parent, birth.mate)), strict=True))
        if all(len({old, one, other}) < 3 for old, one, other in values):
            yield ("crossover",), tuple(other if one == old else one for old, one, other in values)

    def _ancestors(self, number: int) -> set[int]:
        found, waiting = set(), [number]
        while waiting:
            member = waiting.pop()
            if member not in found:
                found.add(member)
                waiting += self._parents[member]
        return found

    def _outcome(self, order: Order) -> Outcome:
        point, height = self._points[order.number], self.search.settings.height
        rung = len(self._table.steps) - height + order.rung
        flops = self._table.flops(point, rung)
        seed = self._table.seeds[order.seed % len(self._table.seeds)]
        return Scored(
            loss=self._table.loss(point, seed, rung),
            bits_per_byte=0.0,
            params=self._table.row(point).params,
            train_flops=flops,
            work=flops,
            tokens=self._table.steps[rung],
            tokens_per_second=0.0,
            seconds=0.0,
            train_seconds=0.0,
            kv_bytes_per_token=0,
            peak_memory=0,
            function=label(architecture(point)),
        )


def handed_over(search: Search) -> int:
    """Name whom a search would hand over: the best mean over the seeds that it was run with.

    All outcomes told count, also those that no decision has been taken from yet.
    """
    losses: dict[int, list[float]] = {}
    for index, outcome in sorted(search.outcomes.items()):
        order = search.orders[index]
        if isinstance(outcome, Scored) and order.rung == search.settings.top and order.split == "val_search":
            losses.setdefault(order.number, []).append(outcome.loss)
    return min(losses, key=lambda number: statistics.fmean(losses[number]), default=SEED_MODEL)
