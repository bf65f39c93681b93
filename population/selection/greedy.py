"""Always the best so far: keep what scores better, revert what does not."""

from __future__ import annotations

import random
from collections.abc import Sequence

from population.archive import Archive


def choose(living: Sequence[int], archive: Archive, rng: random.Random) -> int:
    """Choose a parent among `living`, which is not empty."""
    losses = archive.rungs.losses[archive.rungs.common(living)]
    return min(living, key=lambda number: (losses[number], number))
