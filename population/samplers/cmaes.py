"""Optuna's CMA-ES, started warm from what is known: mean and covariance fit the best tenth of it.

Hansen and Ostermeier, "Completely Derandomized Self-Adaptation in Evolution Strategies" (2001); Nomura et
al., "Warm Starting CMA-ES for Hyperparameter Optimization" (2021). Values are proposed and not
told one by one, as the evolution of structure goes on meanwhile: each is drawn from a fresh start.
"""

from __future__ import annotations

import random
from collections.abc import Mapping

from population.orders import Gene
from population.samplers import Observed, _optuna, uniform


def propose(genes: Mapping[str, Gene], observed: Observed, rng: random.Random) -> dict[str, float]:
    """Propose a value for every gene; any, while nobody with all of them has been seen."""
    from optuna.samplers import CmaEsSampler

    source = [trial for trial in _optuna.trials(genes, observed) if trial.params.keys() == genes.keys()]
    if len(source) < 2:
        return uniform.propose(genes, observed, rng)
    seed = rng.getrandbits(32)

    def warm() -> CmaEsSampler:
        return CmaEsSampler(
            seed=seed, n_startup_trials=0, warn_independent_sampling=False, source_trials=list(source)
        )

    return _optuna.ask(warm, genes, ())
