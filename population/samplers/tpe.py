"""Optuna's tree-structured Parzen estimator.

Bergstra et al., "Algorithms for Hyper-Parameter Optimization" (2011).
"""

from __future__ import annotations

import random
from collections.abc import Mapping

from population.orders import Gene
from population.samplers import Observed, _optuna


def propose(genes: Mapping[str, Gene], observed: Observed, rng: random.Random) -> dict[str, float]:
    """Propose a value for every gene."""
    from optuna.samplers import TPESampler

    return _optuna.ask(lambda: TPESampler(seed=rng.getrandbits(32)), genes, observed)
