"""The one thing that a clock decides: when a budget in seconds ends the search.

What it decided is in the ledger before it takes effect, so a run that is resumed does the same.
"""

from __future__ import annotations

import time

from foundry.trial.outcome import Scored
from population.ledger import Ledger
from population.search import Search

_ENDING = 0.3  # of the budget at most, for confirming, ablating and the test


class Clock:
    """Closes a search in time for what follows the search."""

    def __init__(self, search: Search, ledger: Ledger, workers: int) -> None:
        self._search = search
        self._ledger = ledger
        self._workers = workers
        self._before = ledger.active_seconds()
        self._began = time.monotonic()
        self._closed = bool(ledger.events("closed"))
        ledger.record("driver", {"workers": workers})

    @property
    def seconds(self) -> float:
        """Time that drivers have worked on this run."""
        return self._before + time.monotonic() - self._began

    def check(self) -> None:
        """Close the search when what is left of the budget is needed for its end."""
        settings = self._search.settings
        if settings.budget is None or settings.budget_unit != "seconds" or self._closed:
            return
        each = self._seconds_of_a_training()
        ending = settings.looks[-1] * (settings.finalists + 1) + 10 * settings.ablation_seeds
        reserve = min(_ENDING * settings.budget, ending * each / self._workers)
        left = settings.budget - self.seconds
        if left > reserve:
            return
        allowance = int(max(0.0, left) * self._workers / each) if each else 0
        closing = {"orders": len(self._search.orders), "allowance": allowance}
        self._ledger.record("closed", closing)
        self._search.close(**closing)
        self._closed = True

    def _seconds_of_a_training(self) -> float:
        """Expect a full training to take so many times as long as the first rung has taken so far."""
        seconds = {
            order.index: o for order in self._search.orders if (o := self._search.outcomes.get(order.index))
        }
        full = [
            outcome.seconds * self._search.settings.share(0)
            for index, outcome in seconds.items()
            if isinstance(outcome, Scored) and not outcome.recalled and self._search.orders[index].rung == 0
        ]
        return sum(full) / len(full) if full else 0.0
