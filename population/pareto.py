"""Pareto dominance among points whose every coordinate should be small."""

from __future__ import annotations

import math
from collections.abc import Sequence

Point = Sequence[float]


def dominates(one: Point, other: Point) -> bool:
    """Say whether `one` is nowhere worse and somewhere better."""
    return all(a <= b for a, b in zip(one, other, strict=True)) and any(
        a < b for a, b in zip(one, other, strict=True)
    )


def ranks(points: Sequence[Point]) -> list[int]:
    """Rank points by fronts: 0 where nobody dominates, 1 where only those of rank 0 do, and so on.

    Deb et al., "A fast and elitist multiobjective genetic algorithm: NSGA-II" (2002).
    """
    found = [-1] * len(points)
    rank = 0
    while -1 in found:
        left = [i for i, known in enumerate(found) if known < 0]
        front = [i for i in left if not any(dominates(points[j], points[i]) for j in left)]
        for i in front:
            found[i] = rank
        rank += 1
    return found


def crowding(points: Sequence[Point]) -> list[float]:
    """Return how alone each point is: the sum over coordinates of the distance between its neighbours.

    The outermost of every coordinate are infinitely alone. Source: Deb et al. (2002).
    """
    alone = [0.0] * len(points)
    for axis in range(len(points[0]) if points else 0):
        order = sorted(range(len(points)), key=lambda i: points[i][axis])
        low, high = points[order[0]][axis], points[order[-1]][axis]
        alone[order[0]] = alone[order[-1]] = math.inf
        for before, i, after in zip(order, order[1:], order[2:], strict=False):
            if high > low:
                alone[i] += (points[after][axis] - points[before][axis]) / (high - low)
    return alone
