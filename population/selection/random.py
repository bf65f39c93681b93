"""Any of the living, each as likely: the null policy to compare others with."""

from __future__ import annotations

import random
from collections.abc import Sequence

from population.archive import Archive


def choose(living: Sequence[int], archive: Archive, rng: random.Random) -> int:
    """Choose a parent among `living`, which is not empty."""
    return rng.choice(living)
