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
_IDLE, _OBVIOUS = 1.0, 3.0  # sigmas: an edit worth less with one seed is to go, one worth more to stay


class Ablating:
    """Reduce the champion to the edits that pay.

    Where the budget does not pay for each edit, those of a birth are taken out together. What is left then
    pays for single edits of births that stay, out of the champion without what has been dropped.
    What taking an edit out costs is seen with one seed, and with all where that leaves a doubt: it pays where
    the mean exceeds its standard error. Those that do not pay are then taken out together, with all seeds, as
    many as may go for half a sigma, found by bisection: those that cost least alone go first.
    """

    name = "ablate"
    released = False

    def __init__(self, archive: Archive, champion: int, seeds: Sequence[int]) -> None:
        self._archive = archive
        self.champion = champion
        births = archive.edits(champion)
        self._edits = sum(map(len, births))
        self.seeds = list(seeds)[: archive.settings.ablation_seeds]
        self.dropped: tuple[int, ...] = ()  # places in the lineage, from 1
        self.reduced: int | None = None  # the number of the champion without them
        self._reductions: dict[int, Reduction] = {}
        self._waiting: deque[Order] = deque()
        self._step = 0
        parts: list[tuple[int, ...]] = [(place,) for birth in births for place in birth]
        if not self._affords(self._edits + len(self.seeds)):  # and one trial of all that do not pay together
            parts = births
        self._rounds: list[tuple[tuple[int, ...], list[tuple[int, ...]]]] = [((), parts)]
        self.skipped = bool(self.seeds) and self._edits > 1 and not self._affords(len(parts))
        self._over = len(parts) < 2 or len(self.seeds) < 2 or self.skipped
        self._idle: list[tuple[int, ...]] = []  # the parts that do not pay, the dearest last
        self._joint: dict[tuple[int, ...], int] = {}  # several edits taken out together, as they came up
        self._bracket = (0, 0)  # so many of them may go, so many may not

    def propose(self) -> Order | None:
        """Return the next trial without some edit."""
        while not self._waiting and self._archive.settled and not self._over:
            (self._singles, self._further, self._together, self._judge)[min(self._step, 3)]()
            self._step += 1
        return self._waiting.popleft() if self._waiting else None

    def hear(self, order: Order, outcome: Outcome) -> None:
        """Decisions wait until a step is settled."""

    def costs(self) -> dict[tuple[int, ...], float | None]:
        """Return in nats what taking an edit out, or a birth's, costs; None where others build on it."""
        return {part: self._mean(part, base) for base, parts in self._rounds for part in parts}

    @property
    def _base(self) -> tuple[int, ...]:
        """What is out already in this round."""
        return self._rounds[-1][0]

    @property
    def _parts(self) -> list[tuple[int, ...]]:
        """What is taken out in turn in this round."""
        return self._rounds[-1][1]

    def _alone(self) -> dict[tuple[int, ...], float | None]:
        return {part: self._mean(part, self._base) for part in self._parts}

    def _singles(self) -> None:
        for part in self._parts:
            self._order(part, self.seeds[:1])

    def _further(self) -> None:
        """Use all seeds where one leaves a doubt."""
        sigma = self._archive.sigma(self._archive.rungs.top)
        costs = self._alone().items()
        doubtful = [
            part for part, cost in costs if cost is not None and _IDLE * sigma <= cost < _OBVIOUS * sigma
        ]
        if self._affords(len(doubtful) * (len(self.seeds) - 1) + len(self.seeds)):
            for part in doubtful:
                self._order(part, self.seeds[1:])

    def _together(self) -> None:
        costs = self._alone()
        idle = {part: cost for part, cost in costs.items() if cost is not None and not self._pays(part)}
        self._begin(sorted(idle, key=lambda part: (idle[part], part)))

    def _begin(self, idle: list[tuple[int, ...]]) -> None:
        """Try to do without all of these edits, the cheapest of which come first."""
        self._idle, self._bracket = idle, (0, len(idle) + 1)
        self._try(len(idle))

    def _judge(self) -> None:
        """Narrow down how many may go."""
        most, least = self._bracket
        tried = len(self._idle) if least > len(self._idle) else (most + least) // 2
        cost = self._mean(self._cheapest(tried), self._base)
        if cost is not None and cost <= self._archive.sigma(self._archive.rungs.top) / 2:
            most = tried
            self.dropped = _joined(self._base, self._cheapest(tried))
            self.reduced = self._number(self.dropped)
        else:
            least = tried
        if least == 1:  # what seemed the cheapest with one seed is not: the others without it
            self._begin(self._idle[1:])
            return
        self._bracket = (most, least)
        self._try((most + least) // 2)

    def _try(self, count: int) -> None:
        """Order the champion without so many of the idle edits, unless that has been decided."""
        if count <= self._bracket[0] or not self._affords(len(self.seeds)):
            self._look_into_births()
        else:
            self._order(self._cheapest(count), self.seeds)

    def _look_into_births(self) -> None:
        """Go on with the edits of births that stay, the cheapest first, as far as can be paid for."""
        costs = self.costs()
        seen = {place for place in range(1, self._edits + 1) if (place,) in costs} | set(self.dropped)
        births = [part for part in costs if not set(part) <= seen]
        parts: list[tuple[int, ...]] = []
        for birth in sorted(births, key=lambda part: (costs[part] is None, costs[part] or 0.0)):
            if not self._affords(len(parts) + len(birth) + len(self.seeds)):
                break
            parts += [(place,) for place in birth]
        if parts:
            self._rounds.append((self.dropped, sorted(parts)))
            self._step = -1  # the next is the first
        else:
            self._over = True

    def _cheapest(self, count: int) -> tuple[int, ...]:
        return tuple(sorted(place for part in self._idle[:count] for place in part))

    def _affords(self, trainings: int) -> bool:
        return trainings <= self._archive.trainings_left()

    def _order(self, part: tuple[int, ...], seeds: Sequence[int]) -> None:
        without = _joined(self._base, part)
        number = self._number(without)
        known = self._archive.confirmed.get(number, {})
        for seed in seeds:
            if seed in known:
                continue
            new = None if number in self._reductions else Reduction(of=self.champion, without=without)
            if new:
                self._reductions[number] = new
            top = self._archive.rungs.top
            self._waiting.append(
                Order(number=number, rung=top, seed=seed, split="val_confirm", reduction=new)
            )

    def _number(self, without: tuple[int, ...]) -> int:
        """Number a reduction: the same for the same champion, whatever else a run has done."""
        if len(without) == 1:
            place = without[0]
        else:
            place = self._edits + self._joint.setdefault(without, len(self._joint) + 1)
        return _NUMBERS + 1000 * self.champion + place

    def _differences(self, part: tuple[int, ...], base: tuple[int, ...]) -> list[float]:
        number, whole_number = (
            self._number(_joined(base, part)),
            self._number(base) if base else self.champion,
        )
        if number in self._archive.failed:
            return []
        own, whole = (self._archive.confirmed.get(n, {}) for n in (number, whole_number))
        return [own[seed] - whole[seed] for seed in self.seeds if seed in own and seed in whole]

    def _mean(self, part: tuple[int, ...], base: tuple[int, ...]) -> float | None:
        differences = self._differences(part, base)
        return statistics.fmean(differences) if differences else None

    def _pays(self, part: tuple[int, ...]) -> bool:
        differences = self._differences(part, self._base)
        mean = statistics.fmean(differences)
        if len(differences) == 1:
            return mean >= _IDLE * self._archive.sigma(self._archive.rungs.top)
        return mean > statistics.stdev(differences) / math.sqrt(len(differences))


def _joined(one: tuple[int, ...], other: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(sorted({*one, *other}))
