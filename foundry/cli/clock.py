"""The one thing that a clock decides: when a budget in seconds ends the search.

What it decided is in the ledger before it takes effect, so a run that is resumed does the same.
"""

from __future__ import annotations

import statistics
import time

from foundry.trial.outcome import Scored
from population.ledger import Ledger
from population.search import Search
from population.settings import Settings
from population.stages.confirming import least_trainings

_LATEST = 4.0  # full trainings, in parts, that the pace is taken from
_ENDING = 0.3  # of the budget at most, for confirming, ablating and the test
_LEAST = 0.5  # of the budget at most, so that somebody can be confirmed at all


def reserve(settings: Settings, budget: float, pace: float) -> float:
    """Return the seconds to keep for the end of a run; all workers together take `pace` for a training."""
    ending = settings.looks[-1] * (settings.finalists + 1) + 10 * settings.ablation_seeds
    one = least_trainings(settings) + 1  # trainings are counted whole when the search is closed
    return max(min(_ENDING * budget, ending * pace), min(_LEAST * budget, one * pace))


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
        left = settings.budget - self.seconds
        if left > reserve(settings, settings.budget, each / self._workers):
            return
        allowance = int(max(0.0, left) * self._workers / each) if each else 0
        closing = {"orders": len(self._search.orders), "allowance": allowance}
        self._ledger.record("closed", closing)
        self._search.close(**closing)
        self._closed = True

    def _seconds_of_a_training(self) -> float:
        """Expect a full training to be as fast as the latest were, whatever part of one each was.

        The latest, because equal FLOPs are not equal time, and a search moves on to other models. What a
        trial takes beside training, it takes once.
        """
        settings, outcomes = self._search.settings, self._search.outcomes
        parts, training = 0.0, 0.0
        beside: list[float] = []
        for order in reversed(self._search.orders):
            outcome = outcomes.get(order.index)
            if isinstance(outcome, Scored) and not outcome.recalled and parts < _LATEST:
                before = 1 / settings.share(order.rung - 1) if order.rung else 0.0
                parts += 1 / settings.share(order.rung) - before
                training += outcome.train_seconds
                beside.append(outcome.seconds - outcome.train_seconds)
        return training / parts + statistics.median(beside) if parts else 0.0
