"""The ladder of budgets: who is scored where, and who climbs next.

Li et al., "A System for Massively Parallel Hyperparameter Tuning" (2020): asynchronous successive halving.
Its quota alone lets a find wait until enough others are born, so whoever breaks the record climbs at once.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection


class Rungs:
    """Scores by rung; the best 1/eta of those seen at a rung are promoted to the next.

    Rung 0 is the smallest budget, `height - 1` the full one. Candidates are named by their birth number;
    the one called `always` climbs whatever its rank, since others are compared with it.
    """

    def __init__(self, height: int, eta: int, always: int) -> None:
        self.eta = eta
        self.always = always
        self.losses: list[dict[int, float]] = [{} for _ in range(height)]
        self._promoted: list[set[int]] = [set() for _ in range(height)]

    @property
    def top(self) -> int:
        """The rung of the full budget."""
        return len(self.losses) - 1

    def record(self, number: int, rung: int, loss: float) -> None:
        """Note a candidate's score at a rung."""
        self.losses[rung][number] = loss

    def promote(self, number: int, rung: int) -> None:
        """Note that a candidate at `rung` has been sent to the next."""
        self._promoted[rung].add(number)

    def promotable(self, sigma: Callable[[int], float]) -> tuple[int, int] | None:
        """Name the next to climb as (number, its rung), the deepest first; None where nobody may.

        At most 1/eta of those seen at a rung climb, and who is better by more than `sigma` of the rung, in
        nats, than all that have climbed. Without that quota nearly every child of an improving population is
        among the best so far, and climbs.
        """
        for rung in reversed(range(self.top)):
            waiting = self.waiting(rung)
            if self.always in waiting:
                return self.always, rung
            if waiting and (self._has_room(rung) or self._breaks_record(waiting[0], rung, sigma(rung))):
                return waiting[0], rung
        return None

    def _has_room(self, rung: int) -> bool:
        climbed = len(self._promoted[rung] - {self.always})
        return climbed < len(self.losses[rung]) // self.eta

    def _breaks_record(self, number: int, rung: int, sigma: float) -> bool:
        scores = self.losses[rung]
        record = min((scores[n] for n in self._promoted[rung]), default=-math.inf)
        return scores[number] < record - sigma

    def runners_up(self, number: int) -> list[tuple[int, int]]:
        """Name up to `number` that have not climbed, with their rungs: the deepest first, then the best."""
        waiting = [(n, rung) for rung in reversed(range(self.top)) for n in self.waiting(rung)]
        return waiting[: max(0, number)]

    def ranking(self, rung: int) -> list[int]:
        """List everybody scored at a rung, best first, the elder first where equal."""
        scores = self.losses[rung]
        return sorted(scores, key=lambda number: (scores[number], number))

    def height_of(self, number: int) -> int:
        """Return the highest rung at which a candidate is scored, -1 for none."""
        return max((rung for rung, scores in enumerate(self.losses) if number in scores), default=-1)

    def common(self, numbers: Collection[int]) -> int:
        """Return the highest rung at which all of `numbers` are scored, -1 for none."""
        return min((self.height_of(number) for number in numbers), default=-1)

    def waiting(self, rung: int) -> list[int]:
        """List those at a rung that have not been sent to the next, best first."""
        return [number for number in self.ranking(rung) if number not in self._promoted[rung]]
