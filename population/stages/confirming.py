"""Fresh seeds on a split that selection never saw, look by look, for the finalists and the seed model."""

from __future__ import annotations

import statistics
from collections import deque

from foundry.trial.outcome import Outcome
from population import looks
from population.archive import Archive
from population.orders import Order
from population.settings import SEED_MODEL, Settings

_FRESH = 1000  # seeds of confirmation begin so far after the search's own
_SHARE = 0.7  # of the trainings left; ablation has the rest


def least_trainings(settings: Settings) -> int:
    """Return how many full trainings it takes to confirm one finalist."""
    return 2 * settings.looks[min(1, len(settings.looks) - 1)]


def ranked(archive: Archive, incumbent: int) -> list[int]:
    """List who has a score at the full budget, the best first; the seed model and who failed aside.

    The winner of the races has scores with several seeds. It comes first, unless somebody who has not raced
    yet is better by more than two sigmas.
    """
    top = archive.rungs.top
    losses = archive.rungs.losses[top]
    found = [n for n in archive.rungs.ranking(top) if n != SEED_MODEL and n not in archive.failed]
    if incumbent in found and losses[incumbent] <= losses[found[0]] + 2 * archive.sigma(top):
        found.insert(0, found.pop(found.index(incumbent)))
    return found


class Confirming:
    """Confirm the incumbent and the best beside it."""

    name = "confirm"
    released = False

    def __init__(self, archive: Archive, incumbent: int) -> None:
        self._archive = archive
        self.finalists = ranked(archive, incumbent)[: archive.settings.finalists]
        self.looks = self._affordable()
        if not self.looks:
            self.finalists = []
        self.seeds: list[int] = []  # those that were looked at so far
        self._waiting: deque[Order] = deque()
        self._decided: tuple[int, looks.Decision] | None = None  # and how many outcomes had been applied

    def propose(self) -> Order | None:
        """Return the next trial of this look; after the last outcome of one, begin the next."""
        if not self._waiting and self._archive.settled and self.finalists:
            self._begin_look()
        return self._waiting.popleft() if self._waiting else None

    def hear(self, order: Order, outcome: Outcome) -> None:
        """Decisions wait for the end of a look."""

    @property
    def decision(self) -> looks.Decision:
        """What the scores so far say."""
        if self._decided is None or self._decided[0] != self._archive.applied:
            failed = self._archive.unconfirmed.intersection(self.finalists)
            decision = looks.decide(self.pairs(), self.looks or looks.LOOKS, failed=failed)
            self._decided = self._archive.applied, decision
        return self._decided[1]

    @property
    def champion(self) -> int | None:
        """The best of those that are confirmed, by the mean over their fresh seeds."""
        pairs, standings = self.pairs(), self.decision.standings

        def gain(number: int) -> float:
            return statistics.fmean(own - base for own, base in pairs[number][: standings[number].n])

        return min(self.decision.those("confirmed"), key=lambda n: (gain(n), n), default=None)

    def pairs(self) -> dict[int, list[tuple[float, float]]]:
        """Pair each finalist's losses with the seed model's, seed by seed."""
        confirmed = self._archive.confirmed
        base = confirmed.get(SEED_MODEL, {})
        return {
            number: [(own[seed], base[seed]) for seed in self.seeds if seed in own and seed in base]
            for number in self.finalists
            for own in [confirmed.get(number, {})]
        }

    def _begin_look(self) -> None:
        decision = self.decision
        if decision.next_look is None:
            return
        first = self._archive.settings.seed + _FRESH
        fresh = range(first + len(self.seeds), first + decision.next_look)
        self.seeds += fresh
        self._waiting.extend(
            Order(number=number, rung=self._archive.rungs.top, seed=seed, split="val_confirm")
            for seed in fresh
            for number in (SEED_MODEL, *decision.those("open"))
        )

    def _affordable(self) -> tuple[int, ...]:
        """Keep the looks that the rest of the budget pays for; fewer finalists before fewer looks."""
        settings, left = self._archive.settings, self._archive.trainings_left()
        left = max(left * _SHARE, min(left, least_trainings(settings)))
        declared = settings.looks
        while len(self.finalists) > 1 and declared[-1] * (1 + len(self.finalists)) > left:
            self.finalists.pop()
        kept = tuple(n for n in declared if n * (1 + len(self.finalists)) <= left)
        return kept if len(kept) > 1 else ()  # the first look drops and confirms nobody
