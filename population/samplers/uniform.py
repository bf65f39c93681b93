"""Any value of the range, each as likely; on a logarithmic scale where the gene asks for it."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping

from population.orders import Gene
from population.samplers import Observed


def propose(genes: Mapping[str, Gene], observed: Observed, rng: random.Random) -> dict[str, float]:
    """Propose a value for every gene."""
    return {name: _draw(gene, rng) for name, gene in sorted(genes.items())}


def _draw(gene: Gene, rng: random.Random) -> float:
    value = (
        math.exp(rng.uniform(math.log(gene.low), math.log(gene.high)))
        if gene.log
        else rng.uniform(gene.low, gene.high)
    )
    value = min(max(value, gene.low), gene.high)
    return float(round(value)) if gene.whole else value
