"""Four of the living at random; the best of them at their highest common rung is the parent.

Real et al., "Regularized Evolution for Image Classifier Architecture Search" (2019).
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from population.rungs import Rungs

SIZE = 4


def choose(living: Sequence[int], rungs: Rungs, rng: random.Random) -> int:
    """Choose a parent among `living`, which is not empty."""
    entrants = rng.sample(living, min(SIZE, len(living)))
    losses = rungs.losses[rungs.common(entrants)]
    return min(entrants, key=lambda number: (losses[number], number))
