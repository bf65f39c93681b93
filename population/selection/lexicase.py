"""Objective by objective in random order, those near the best go on; any of the last left is the parent.

La Cava et al., "Epsilon-Lexicase Selection for Regression" (2016): near is within one sigma for the loss, and
within the median distance from the median for any other objective.
"""

from __future__ import annotations

import random
import statistics
from collections.abc import Sequence

from population.archive import Archive


def choose(living: Sequence[int], archive: Archive, rng: random.Random) -> int:
    """Choose a parent among `living`, which is not empty."""
    rung = archive.rungs.common(living)
    names = list(enumerate(archive.settings.objectives))
    left = sorted(living)
    for axis, name in rng.sample(names, len(names)):
        values = {number: archive.objectives(number, rung)[axis] for number in left}
        near = archive.sigma(rung) if name == "loss" else _spread(list(values.values()))
        best = min(values.values())
        left = [number for number in left if values[number] <= best + near]
    return rng.choice(left)


def _spread(values: Sequence[float]) -> float:
    middle = statistics.median(values)
    return statistics.median(abs(value - middle) for value in values)
