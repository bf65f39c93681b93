"""Optuna's samplers by ask and tell: a study is filled with what is known and asked once."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from population.orders import Gene
from population.samplers import Observed

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.samplers import BaseSampler
    from optuna.trial import FrozenTrial


def ask(make: Callable[[], BaseSampler], genes: Mapping[str, Gene], observed: Observed) -> dict[str, float]:
    """Return the next proposal of the sampler that `make` makes, after `observed`."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        study = optuna.create_study(sampler=make())
        study.add_trials(trials(genes, observed))
        proposed = study.ask(_distributions(genes)).params
    return {name: float(value) for name, value in proposed.items()}


def trials(genes: Mapping[str, Gene], observed: Observed) -> Sequence[FrozenTrial]:
    """Write what is known as finished trials; numbers out of their range count as not known."""
    import optuna

    distributions = _distributions(genes)
    found = []
    for numbers, loss in observed:
        known = {n: v for n, v in numbers.items() if n in genes and genes[n].low <= v <= genes[n].high}
        found.append(
            optuna.trial.create_trial(
                params={n: int(v) if genes[n].whole else v for n, v in known.items()},
                distributions={n: distributions[n] for n in known},
                value=loss,
            )
        )
    return found


def _distributions(genes: Mapping[str, Gene]) -> dict[str, BaseDistribution]:
    from optuna.distributions import FloatDistribution, IntDistribution

    return {
        name: IntDistribution(int(gene.low), int(gene.high), log=gene.log)
        if gene.whole
        else FloatDistribution(gene.low, gene.high, log=gene.log)
        for name, gene in genes.items()
    }
