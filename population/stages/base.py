"""The seed model at the first rung: what others are held against, and the noise of a score."""

from __future__ import annotations

from foundry.trial.outcome import Outcome
from population.archive import Archive
from population.orders import Order
from population.settings import SEED_MODEL


class Base:
    """Measure the seed model. The first trial goes alone, for it tells what a token costs.

    It climbs before all others, with one seed: more are run above when the first race brings them along.
    """

    name = "base"

    def __init__(self, archive: Archive) -> None:
        settings = archive.settings
        self._archive = archive
        self._waiting = [
            Order(number=SEED_MODEL, rung=0, seed=settings.seed + i) for i in range(settings.base_seeds)
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
        return self._waiting.pop(0)

    def hear(self, order: Order, outcome: Outcome) -> None:
        """Nothing is decided here."""
