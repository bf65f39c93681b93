"""The test split, opened once: for the champion and the seed model, as they were trained for confirmation."""

from __future__ import annotations

from collections.abc import Sequence

from foundry.trial.outcome import Outcome
from population.archive import Archive
from population.orders import Order
from population.settings import SEED_MODEL


class Testing:
    """Score what was confirmed on text that nothing has been decided by."""

    name = "test"
    released = False

    def __init__(self, archive: Archive, champion: int, seeds: Sequence[int]) -> None:
        confirmed = archive.confirmed
        both = [seed for seed in seeds if all(seed in confirmed.get(n, {}) for n in (champion, SEED_MODEL))]
        numbers = () if champion == SEED_MODEL else (champion, SEED_MODEL)
        self._waiting = [
            Order(number=number, rung=archive.rungs.top, seed=seed, split="test")
            for seed in both
            for number in numbers
        ]

    def propose(self) -> Order | None:
        """Return the next score to take; the training behind it is done."""
        return self._waiting.pop(0) if self._waiting else None

    def hear(self, order: Order, outcome: Outcome) -> None:
        """Nothing is decided by it."""
