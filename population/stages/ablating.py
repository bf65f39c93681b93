"""Each edit of the champion's lineage taken out in turn, with paired seeds: what does not pay is dropped."""

from __future__ import annotations

import math
import statistics
from collections import deque
from collections.abc import Sequence

from foundry.trial.outcome import Outcome
from population.archive import Archive
from population.orders import Order, Reduction

_NUMBERS = 100_000  # reductions are numbered from here: births never are
_OBVIOUS = 3.0  # sigmas by which an edit pays beyond doubt, with one seed


class Ablating:
    """Reduce the champion to the edits that pay.

    An edit pays where taking it out costs more than a standard error of the mean over the seeds. Those that
    do not are then taken out together; where that costs more than half a sigma, the half of them that cost
    most alone comes back, until it does not.
    """

    name = "ablate"
    released = False

    def __init__(self, archive: Archive, champion: int, seeds: Sequence[int]) -> None:
        self._archive = archive
        self.champion = champion
        self._edits = archive.edits(champion)
        self.seeds = list(seeds)[: archive.settings.ablation_seeds]
        self.dropped: tuple[int, ...] = ()  # places in the lineage, from 1
        self.reduced: int | None = None  # the number of the champion without them
        self._reductions: dict[int, Reduction] = {}
        self._waiting: deque[Order] = deque()
        self._step = 0
        affordable = self._edits * (1 + len(self.seeds)) <= archive.trainings_left()
        self.skipped = bool(self.seeds) and self._edits > 1 and not affordable
        self._over = self._edits < 2 or len(self.seeds) < 2 or self.skipped
        self._joint: list[int] = []

    def propose(self) -> Order | None:
        """Return the next trial without some edit."""
        while not self._waiting and self._archive.settled and not self._over:
            (self._singles, self._further, self._together, self._judge)[min(self._step, 3)]()
            self._step += 1
        return self._waiting.popleft() if self._waiting else None

    def hear(self, order: Order, outcome: Outcome) -> None:
        """Decisions wait until a step is settled."""

    def costs(self) -> dict[int, float | None]:
        """Return by place what taking an edit out costs in nats; None where others build on it."""
        return {place: self._mean((place,)) for place in range(1, self._edits + 1)}

    def _singles(self) -> None:
        for place in range(1, self._edits + 1):
            self._order((place,), self.seeds[:1])

    def _further(self) -> None:
        """Doubt no edit whose worth one seed has shown."""
        sigma = self._archive.sigma(self._archive.rungs.top)
        for place in range(1, self._edits + 1):
            cost = self._mean((place,))
            if cost is not None and cost < _OBVIOUS * sigma:
                self._order((place,), self.seeds[1:])

    def _together(self) -> None:
        self._joint = sorted(
            (place for place in range(1, self._edits + 1) if not self._pays(place)),
            key=lambda place: (self._mean((place,)), place),
        )
        self._try()

    def _judge(self) -> None:
        """Keep what was taken out together, where that costs nothing that shows."""
        cost = self._mean(tuple(sorted(self._joint)))
        if cost is not None and cost <= self._archive.sigma(self._archive.rungs.top) / 2:
            self.dropped = tuple(sorted(self._joint))
            self.reduced = self._number(self.dropped)
            self._over = True
            return
        self._joint = self._joint[: len(self._joint) // 2]
        self._try()

    def _try(self) -> None:
        """Order the champion without `_joint`; one edit alone has been tried already."""
        if not self._joint:
            self._over = True
        elif len(self._joint) > 1:
            self._order(tuple(sorted(self._joint)), self.seeds)

    def _order(self, without: tuple[int, ...], seeds: Sequence[int]) -> None:
        number = self._number(without)
        for seed in seeds:
            new = None if number in self._reductions else Reduction(of=self.champion, without=without)
            if new:
                self._reductions[number] = new
            top = self._archive.rungs.top
            self._waiting.append(
                Order(number=number, rung=top, seed=seed, split="val_confirm", reduction=new)
            )

    def _number(self, without: tuple[int, ...]) -> int:
        """Number a reduction: the same for the same champion, whatever else a run has done."""
        place = without[0] if len(without) == 1 else self._edits + len(without)
        return _NUMBERS + 1000 * self.champion + place

    def _differences(self, without: tuple[int, ...]) -> list[float]:
        number = self._number(without)
        if number in self._archive.failed:
            return []
        own, whole = (self._archive.confirmed.get(n, {}) for n in (number, self.champion))
        return [own[seed] - whole[seed] for seed in self.seeds if seed in own and seed in whole]

    def _mean(self, without: tuple[int, ...]) -> float | None:
        differences = self._differences(without)
        return statistics.fmean(differences) if differences else None

    def _pays(self, place: int) -> bool:
        differences = self._differences((place,))
        if len(differences) < 2:  # beyond doubt, or not to be taken out
            return True
        error = statistics.stdev(differences) / math.sqrt(len(differences))
        return statistics.fmean(differences) > error
