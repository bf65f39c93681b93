"""A world without torch for searches: candidates have a true quality, which scores show with noise."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping

from foundry.trial.outcome import Crashed, Outcome, Rejected, Scored
from population.orders import Birth, Born, Gene, Menu, Order
from population.search import Search
from population.settings import SEED_MODEL, Settings

MENU = Menu(operators=("good", "harmful", "idle"))
RATE = {"rate": Gene(low=1e-4, high=1e-1, log=True)}
FLOPS = 100  # per token


def scored(loss: float, tokens: int = 1, flops: int = 1, function: str = "") -> Scored:
    return Scored(
        loss=loss,
        bits_per_byte=loss / 0.7,
        params=1,
        train_flops=flops,
        work=flops,
        tokens=tokens,
        tokens_per_second=1.0,
        seconds=1.0,
        train_seconds=1.0,
        kv_bytes_per_token=1,
        peak_memory=1,
        function=function,
    )


class World:
    """Candidates hand their quality on, changed by their edits; scores have noise by seed, less if paired.

    `effects` gives the mean change by operator; failures come at fixed birth numbers.
    """

    def __init__(
        self,
        step: float = 0.02,
        noise: float = 0.01,
        effects: Mapping[str, float] | None = None,
        failures: bool = True,
    ) -> None:
        self.changes: dict[int, list[float]] = {}  # by birth, an edit each
        self.births: dict[int, Birth] = {}
        self.operators: dict[int, tuple[str, ...]] = {}
        self.without: dict[int, tuple[int, tuple[int, ...]]] = {}
        self.step, self.noise, self.failures = step, noise, failures
        self.effects = effects or {}

    def bear(self, search: Search, order: Order) -> None:
        """Make the candidate of an order, as a nursery does."""
        if order.reduction is not None:
            self.without[order.number] = (order.reduction.of, order.reduction.without)
        if order.birth is None:
            search.introduce(
                order.number, search.archive.born.get(order.number, Born(operators=(), numbers={}))
            )
            return
        names = order.birth.operators[: order.birth.edits]
        self.births[order.number] = order.birth
        self.operators[order.number] = names
        luck = random.Random(f"quality {order.number}")
        self.changes[order.number] = [
            self.effects.get(name, 0.0) + luck.gauss(0, self.step) for name in names
        ]
        search.introduce(order.number, Born(operators=names, numbers={}))

    def quality(self, number: int) -> float:
        """Return the true loss of a candidate at the full budget."""
        of, without = self.without.get(number, (number, ()))
        lineage: list[int] = []
        while of != SEED_MODEL:
            lineage.append(of)
            of = self.births[of].parent
        changes = [change for ancestor in reversed(lineage) for change in self.changes[ancestor]]
        return 2.0 + sum(change for place, change in enumerate(changes, start=1) if place not in without)

    def run(self, search: Search, order: Order) -> Outcome:
        """Return the outcome of a trial: it depends on the order alone."""
        if order.birth and self.failures and order.number % 7 == 3:
            return Rejected(gate="finite", reason="NaN")
        if order.birth and self.failures and order.number % 11 == 5:
            return Crashed(reason="RuntimeError")
        common = random.Random(f"{order.seed} {order.split}").gauss(0, self.noise)
        own = random.Random(f"{order.number} {order.seed} {order.split}").gauss(0, self.noise / 2)
        tokens = search.settings.tokens // search.settings.share(order.rung)
        loss = self.quality(order.number) + common + own + 0.4 * (search.settings.top - order.rung)
        return scored(loss, tokens, tokens * FLOPS)


def play(search: Search, world: World, workers: int, pick: Callable[[list[Order]], int]) -> list[Order]:
    """Carry a search to its end; `pick` says which of the running trials ends next."""
    running: list[Order] = []
    while True:
        while len(running) < workers and (order := search.ask()):
            world.bear(search, order)
            running.append(order)
        if search.finished:
            return search.orders
        order = running.pop(pick(running))
        search.tell(order, world.run(search, order))


def alone(settings: Settings, world: World | None = None, menu: Menu = MENU) -> Search:
    """Carry a search to its end on one worker."""
    search = Search(settings, menu)
    play(search, world or World(), 1, lambda running: 0)
    return search
