"""The one thing that a clock decides: when a budget in seconds ends the search.

What it decided is in the ledger before it takes effect, so a run that is resumed does the same. How many
trainings may follow the search is said when it is closed, and anew at each step that waits for all before it.
"""

from __future__ import annotations

import statistics
import time

from foundry.trial.outcome import Scored
from population.archive import CLIMBS
from population.ledger import Ledger
from population.search import Search
from population.settings import Settings
from population.stages.confirming import least_trainings

_LATEST = 4.0  # full trainings, in parts, that the pace is taken from
_ENDING = 0.3  # of the budget at most, for confirming, ablating and the test
_LEAST = 0.5  # of the budget at most, so that somebody can be confirmed at all


def reserve(settings: Settings, budget: float, pace: float, test: float) -> float:
    """Return the seconds to keep for the end of a run.

    All workers together take `pace` for a training, and `test` for the scores on the test split.
    """
    ending = settings.looks[-1] * (settings.finalists + 1) + 10 * settings.ablation_seeds
    one = least_trainings(settings) + CLIMBS + 1  # trainings are counted whole when the search is closed
    return max(min(_ENDING * budget, ending * pace + test), min(_LEAST * budget, one * pace + test))


class Clock:
    """Closes a search in time for what follows the search."""

    def __init__(self, search: Search, ledger: Ledger, workers: int) -> None:
        self._search = search
        self._ledger = ledger
        self._workers = workers
        self._before = ledger.active_seconds()
        self._began = time.monotonic()
        self._closed = max((event["orders"] for event in ledger.events("closed")), default=-1)
        ledger.record("driver", {"workers": workers})

    @property
    def seconds(self) -> float:
        """Time that drivers have worked on this run."""
        return self._before + time.monotonic() - self._began

    def check(self) -> None:
        """Close the search when what is left of the budget is needed for its end."""
        settings, search = self._search.settings, self._search
        if settings.budget is None or settings.budget_unit != "seconds":
            return
        each, beside = self._seconds_of_a_training()
        left, pace, test = settings.budget - self.seconds, each / self._workers, self._test(beside)
        orders = len(search.orders)
        if self._closed < 0:
            due = left <= reserve(settings, settings.budget, pace, test)
        else:  # where nothing is under way, what follows has yet to be decided
            due = orders > self._closed and len(search.outcomes) == orders
        if due:
            more = int(max(0.0, left - test) / pace) if pace else 0
            closing = {"orders": orders, "allowance": self._confirming_trials() + more}
            self._ledger.record("closed", closing)
            search.close(**closing)
            self._closed = orders

    def _confirming_trials(self) -> int:
        """Count those that have come to a score."""
        outcomes = self._search.outcomes
        return sum(
            order.split == "val_confirm" and isinstance(outcomes.get(order.index), Scored)
            for order in self._search.orders
        )

    def _test(self, beside: float) -> float:
        """Expect what the champion's and the seed model's scores on the test split take."""
        confirming = self._search.confirming
        seeds = len(confirming.seeds) if confirming else self._search.settings.looks[1]
        return 2 * seeds * beside / self._workers

    def _seconds_of_a_training(self) -> tuple[float, float]:
        """Expect a full training to be as fast as the latest were; also return what a trial takes beside.

        The latest, whatever part of a training each was, because equal FLOPs are not equal time, and a search
        moves on to other models. What a trial takes beside training, it takes once.
        """
        settings, outcomes = self._search.settings, self._search.outcomes
        seed_of = self._search.archive.seed_of
        parts, training = 0.0, 0.0
        beside: list[float] = []
        for order in reversed(self._search.orders):
            outcome = outcomes.get(order.index)
            if isinstance(outcome, Scored) and not outcome.recalled and parts < _LATEST:
                climbed = order.rung and order.seed == seed_of(order.number)  # else trained from the start
                before = 1 / settings.share(order.rung - 1) if climbed else 0.0
                parts += 1 / settings.share(order.rung) - before
                training += outcome.train_seconds
                beside.append(outcome.seconds - outcome.train_seconds)
        if not parts:
            return 0.0, 0.0
        return training / parts + statistics.median(beside), statistics.median(beside)
