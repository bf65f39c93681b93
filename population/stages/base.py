"""The seed model at every rung with several seeds: the noise of a score, and what others are held against."""

from __future__ import annotations

from foundry.trial.outcome import Outcome
from population.archive import Archive
from population.orders import Order
from population.settings import SEED_MODEL


class Base:
    """Measure the seed model. The first trial goes alone, for it tells what a token costs."""

    name = "base"

    def __init__(self, archive: Archive) -> None:
        settings = archive.settings
        self._archive = archive
        self._waiting = [
            Order(number=SEED_MODEL, rung=rung, seed=settings.seed + i)
            for rung in range(settings.height)
            for i in range(settings.base_seeds if rung else 1)
        ]
        for i in range(1, settings.base_seeds):  # after the first, which is alone
            self._waiting.insert(i, Order(number=SEED_MODEL, rung=0, seed=settings.seed + i))

    @property
    def released(self) -> bool:
        """Births need nothing but the first trial."""
        return not self._waiting

    def propose(self) -> Order | None:
        """Return the next trial of the seed model."""
        first = self._archive.issued == 0
        if not self._waiting or not (first or self._archive.spending.token):
            return None
        order = self._waiting.pop(0)
        if order.rung and order.seed == self._archive.settings.seed:
            self._archive.rungs.promote(SEED_MODEL, order.rung - 1)
        return order

    def hear(self, order: Order, outcome: Outcome) -> None:
        """Nothing is decided here."""
