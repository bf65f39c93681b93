"""Any of the best quarter of the living, each as likely.

Mühlenbein and Schlierkamp-Voosen, "Predictive Models for the Breeder Genetic Algorithm" (1993).
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from population.archive import Archive

SHARE = 4  # one in so many may be a parent


def choose(living: Sequence[int], archive: Archive, rng: random.Random) -> int:
    """Choose a parent among `living`, which is not empty."""
    losses = archive.rungs.losses[archive.rungs.common(living)]
    ranked = sorted(living, key=lambda number: (losses[number], number))
    return rng.choice(ranked[: -(-len(ranked) // SHARE)])
