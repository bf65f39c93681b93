"""Four of the living at random; the best of them at their highest common rung is the parent.

Scores within one sigma of the best count as equal: among those, whoever no other dominates in the objectives,
then whoever has fewer children so far. Real et al., "Regularized Evolution for Image Classifier Architecture
Search" (2019), has the tournament.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from population.archive import Archive
from population.pareto import ranks

SIZE = 4


def choose(living: Sequence[int], archive: Archive, rng: random.Random) -> int:
    """Choose a parent among `living`, which is not empty."""
    entrants = rng.sample(living, min(SIZE, len(living)))
    rung = archive.rungs.common(entrants)
    losses = archive.rungs.losses[rung]
    limit = min(losses[number] for number in entrants) + archive.sigma(rung)
    close = sorted(number for number in entrants if losses[number] <= limit)
    rank = dict(zip(close, ranks([archive.objectives(number, rung) for number in close]), strict=True))
    return min(close, key=lambda number: (rank[number], archive.offspring[number], losses[number], number))
