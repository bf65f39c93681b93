"""Of two of the living at random, the one on the better Pareto front, then the one more alone on it.

Deb et al., "A fast and elitist multiobjective genetic algorithm: NSGA-II" (2002).
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from population.archive import Archive
from population.pareto import crowding, ranks


def choose(living: Sequence[int], archive: Archive, rng: random.Random) -> int:
    """Choose a parent among `living`, which is not empty."""
    rung = archive.rungs.common(living)
    points = [archive.objectives(number, rung) for number in living]
    rank = ranks(points)
    alone = [0.0] * len(points)
    for front in set(rank):
        members = [i for i, own in enumerate(rank) if own == front]
        for i, distance in zip(members, crowding([points[i] for i in members]), strict=True):
            alone[i] = distance
    pair = rng.sample(range(len(points)), min(2, len(points)))
    return living[min(pair, key=lambda i: (rank[i], -alone[i], living[i]))]
