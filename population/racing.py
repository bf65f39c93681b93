"""Races: who scored better than the incumbent has to do so with more seeds before it takes its place."""

from __future__ import annotations

from collections import deque

from population import race
from population.archive import Archive
from population.orders import Order
from population.settings import SEED_MODEL


class Races:
    """The incumbent, and those who challenge it, one race at a time."""

    def __init__(self, archive: Archive) -> None:
        self._archive = archive
        first, count = archive.settings.seed + 1, archive.settings.race_seeds
        self._seeds = range(first, first + count)
        self.incumbent = SEED_MODEL
        self._challengers: deque[int] = deque()
        self._ordered: set[tuple[int, int]] = set()

    def enter(self, number: int) -> None:
        """Take note of a score at the full budget: a challenge, where it beats the incumbent's."""
        if number == SEED_MODEL or not self._seeds:
            return
        if self._gap(number) < -self._archive.sigma(self._archive.rungs.top):
            self._challengers.append(number)
        self.hear()

    def hear(self) -> None:
        """Decide the race that is on, as far as its scores allow."""
        while self._challengers:
            challenger = self._challengers[0]
            beaten = challenger == self.incumbent or self._gap(challenger) >= 0  # another has won meanwhile
            if beaten or challenger in self._archive.failed:
                self._challengers.popleft()
                continue
            verdict = "won" if self.incumbent in self._archive.failed else self._verdict(challenger)
            if isinstance(verdict, int):
                return
            self._challengers.popleft()
            if verdict == "won":
                self.incumbent = challenger

    def propose(self) -> Order | None:
        """Return a training that the race waits for."""
        if not self._challengers or self._archive.closed or not self._affordable():
            return None
        challenger = self._challengers[0]
        verdict = self._verdict(challenger)
        if not isinstance(verdict, int):
            return None
        for number in (challenger, self.incumbent):
            wanted = (number, verdict)
            if verdict not in self._archive.losses(number) and wanted not in self._ordered:
                order = Order(number=number, rung=self._archive.rungs.top, seed=verdict)
                if not self._archive.affords(self._archive.spending.expected(order)):
                    return None
                self._ordered.add(wanted)
                return order
        return None

    def _affordable(self) -> bool:
        """Say whether a race may begin, whole, or go on."""
        spending, share = self._archive.spending, self._archive.settings.race_share
        raced = (len(self._ordered) + len(self._seeds)) * spending.full.tokens
        return self._underway() or raced <= share * spending.total.tokens

    def _underway(self) -> bool:
        return any(number == self._challengers[0] for number, _ in self._ordered)

    def _gap(self, number: int) -> float:
        """Return by how much a candidate lags the incumbent with the seeds of the search."""
        own, theirs = (self._own_loss(n) for n in (number, self.incumbent))
        return own - theirs if own is not None and theirs is not None else 0.0

    def _own_loss(self, number: int) -> float | None:
        return self._archive.losses(number).get(self._archive.seed_of(number))

    def _verdict(self, challenger: int) -> str | int:
        """Say "won", "lost", or which seed is wanted next."""
        own, theirs = self._archive.losses(challenger), self._archive.losses(self.incumbent)
        return race.verdict(own, theirs, self._seeds)
