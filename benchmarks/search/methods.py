"""The methods that are compared, on the same operators, trainings and seeds, each a way to spend FLOPs.

Ours, what it is without one of its parts, and what people use instead.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

from benchmarks.search.replayed import Replay, Step
from benchmarks.search.space import BASE, FACTORS, Point, Table, architecture
from population.settings import Settings

Method = Callable[[Table, int, int], Iterator[Step]]  # table, FLOPs to spend, repetition

_OURS = Settings(tokens=144, unit="tokens", generations=100_000, update=1, objectives=("loss",))
_PLAIN = replace(_OURS, bandit=False, race_seeds=0, base_seeds=1, lag=1, crossover=0.0, sizes=(1,))
_FOREVER = 1_000_000  # living
_PROPOSALS = 200  # of Optuna: after some 150 it proposes what it knows


def _search(settings: Settings) -> Method:
    def method(table: Table, flops: int, repetition: int) -> Iterator[Step]:
        return Replay(table, replace(settings, seed=4 * repetition + repetition % 4)).steps(flops)

    return method


def tuned_default(table: Table, flops: int, repetition: int) -> Iterator[Step]:
    """nanoGPT's model with its learning rate tuned: every AdamW rate at the full budget, the best kept."""
    place = list(FACTORS).index("optimizer")
    seed = table.seeds[repetition % len(table.seeds)]
    rates = [value for value in FACTORS["optimizer"] if value.startswith("adamw")]
    best, spent = BASE, 0
    for rate in random.Random(f"rates/{repetition}").sample(rates, len(rates)):
        point = (*BASE[:place], rate, *BASE[place + 1 :])
        spent += table.flops(point, 2)
        best = min(best if spent else point, point, key=lambda p: table.loss(p, seed, 2))
        yield Step(spent, best)


def optuna_tpe(table: Table, flops: int, repetition: int) -> Iterator[Step]:
    """Optuna's TPE over all factors with its asynchronous successive halving; known points cost nothing."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(
        sampler=optuna.samplers.TPESampler(seed=repetition),
        pruner=optuna.pruners.SuccessiveHalvingPruner(min_resource=1, reduction_factor=3),
    )
    seed = table.seeds[repetition % len(table.seeds)]
    reached: dict[Point, int] = {}  # the highest rung paid for
    best: Point = BASE
    spent = 0
    for _ in range(_PROPOSALS):  # study.trials would copy them all each time
        if spent >= flops:
            return
        trial = study.ask()
        point = tuple(trial.suggest_categorical(name, list(values)) for name, values in FACTORS.items())
        own = architecture(point)
        for rung in range(len(table.steps)):
            if rung > reached.get(own, -1):
                before = table.flops(own, rung - 1) if rung else 0
                spent += table.flops(own, rung) - before
                reached[own] = rung
            trial.report(table.loss(own, seed, rung), 3**rung)
            if rung < len(table.steps) - 1 and trial.should_prune():
                study.tell(trial, state=optuna.trial.TrialState.PRUNED)
                break
        else:
            study.tell(trial, table.loss(own, seed, len(table.steps) - 1))
            best = min(best, own, key=lambda p: table.loss(p, seed, 2)) if spent else own
        yield Step(spent, best)


METHODS: Mapping[str, Method] = {
    "Foundry": _search(_OURS),
    "  without rungs": _search(replace(_OURS, height=1)),
    "  without pairing": _search(replace(_OURS, pairing=False)),
    "  without the bandit": _search(replace(_OURS, bandit=False)),
    "  without aging": _search(replace(_OURS, aging=False)),
    "  without races": _search(replace(_OURS, race_seeds=0)),
    "  one edit a birth": _search(replace(_OURS, sizes=(1,))),
    "nanoGPT's default, rate tuned": tuned_default,
    "random walks": _search(replace(_PLAIN, height=1, policy="random", living=_FOREVER)),
    "random walks + ASHA": _search(replace(_PLAIN, policy="random", living=_FOREVER)),
    "plain tournament": _search(replace(_PLAIN, height=1)),
    "Optuna TPE + successive halving": optuna_tpe,
    "greedy keep-or-revert": _search(replace(_PLAIN, height=1, policy="greedy", living=_FOREVER)),
}
