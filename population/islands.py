"""Who may become a parent: a few living on each island, and a traveller now and then."""

from __future__ import annotations

from collections.abc import Sequence

from population.rungs import Rungs
from population.settings import SEED_MODEL, Settings


class Islands:
    """The living, oldest first, island by island; births take turns among the islands.

    Real et al., "Regularized Evolution for Image Classifier Architecture Search" (2019), for the aging;
    Tanese, "Distributed Genetic Algorithms" (1989), for the migration around a ring.
    """

    def __init__(self, settings: Settings, rungs: Rungs) -> None:
        self._settings = settings
        self._rungs = rungs
        self._living: list[list[int]] = [[SEED_MODEL] for _ in range(settings.islands)]

    def home(self, number: int) -> int:
        """Return the island on which a candidate is born."""
        return number % self._settings.islands

    def living(self, island: int) -> list[int]:
        """List those on an island that have a score, the oldest first."""
        return [number for number in self._living[island] if self._rungs.height_of(number) >= 0]

    def rejuvenate(self, number: int) -> None:
        """Make a candidate the youngest of its island; where there are too many, one leaves."""
        self._settle(number, self.home(number))

    def migrate(self, births: int) -> None:
        """Send the best of an island to the next, when its turn has come."""
        count = self._settings.islands
        turn, island = divmod(births, count)
        if count == 1 or turn == 0 or turn % self._settings.migration:
            return
        if living := self.living(island):
            self._settle(self._best(living), (island + 1) % count)

    def _settle(self, number: int, island: int) -> None:
        living = self._living[island]
        if number in living:
            living.remove(number)
        living.append(number)
        if len(living) > self._settings.living:
            living.remove(living[0] if self._settings.aging else self._worst(living))

    def _best(self, numbers: Sequence[int]) -> int:
        losses = self._rungs.losses[self._rungs.common(numbers)]
        return min(numbers, key=lambda number: (losses[number], number))

    def _worst(self, numbers: Sequence[int]) -> int:
        scored = [number for number in numbers if self._rungs.height_of(number) >= 0]
        losses = self._rungs.losses[self._rungs.common(scored)]
        return max(scored, key=lambda number: (losses[number], number))
