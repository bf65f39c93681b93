"""The seed model at every rung: what others are held against, and at the first the noise of a score."""

from __future__ import annotations

from foundry.trial.outcome import Outcome
from population.archive import Archive
from population.orders import Order
from population.settings import SEED_MODEL


class Base:
    """Measure the seed model. The first trial goes alone, for it tells what a token costs.

    Several seeds are run at the first rung only: above it the first race brings them along with it.
    """

    name = "base"

    def __init__(self, archive: Archive) -> None:
        settings = archive.settings
        self._archive = archive
        self._waiting = [
            Order(number=SEED_MODEL, rung=rung, seed=settings.seed + i)
            for rung in range(settings.height)
            for i in range(1 if rung else settings.base_seeds)
        ]

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
