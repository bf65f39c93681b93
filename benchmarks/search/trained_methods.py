"""The methods compared with real trainings: settings of our search, and two that bring their own loop."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import operators
from benchmarks.search.trained import Bench, Method, Program, Step, Trainer, searched
from foundry.cli.run import Plan, plan_run
from operators import Edit, Source, numbers

if TYPE_CHECKING:
    from optuna import Trial

EXPERIMENT = Path(__file__).with_name("real.yaml")
_RATES = (5e-4, 1e-3, 2e-3, 3e-3, 4e-3, 6e-3, 8e-3, 1.2e-2, 1.6e-2, 2.4e-2)
_EDITS = 5.0  # that a program of Optuna's first, random, trials has on average

# nothing of the budget is kept for confirming
_NO_END: Mapping[str, Any] = {"finalists": 0, "looks": (0,), "ablation_seeds": 0}
_PLAIN: Mapping[str, Any] = {
    "bandit": False,
    "race_seeds": 0,
    "base_seeds": 1,
    "lag": 1,
    "crossover": 0.0,
    "sampler": "uniform",
    "number_shares": (0.0, 0.0),
    "sizes": (1,),
    "objectives": ("loss",),
}
_FOREVER = 1_000_000  # living

SETTINGS: Mapping[str, Mapping[str, Any]] = {
    "Foundry": {},
    "random walks": {**_PLAIN, "height": 1, "policy": "random", "living": _FOREVER},
    "random walks + ASHA": {**_PLAIN, "policy": "random", "living": _FOREVER},
    "plain tournament": {**_PLAIN, "height": 1},
    "greedy keep-or-revert": {**_PLAIN, "height": 1, "policy": "greedy", "living": _FOREVER},
    "nanoGPT's default, rate tuned": {},
    "Optuna TPE + successive halving": {},
    "  without rungs": {"height": 1},
    "  without pairing": {"pairing": False},
    "  without the bandit": {"bandit": False},
    "  numbers by chance": {"number_shares": (0.0, 0.0)},
    "  one edit a birth": {"sizes": (1,)},
    "  without aging": {"aging": False},
}


def plan(method: str, seed: int, budget: int) -> Plan:
    """Return the plan of a piece; the budget is in FLOPs."""
    search = {**_NO_END, **SETTINGS[method], "unit": "flops", "generations": 1_000_000}
    return plan_run(
        experiment_path=str(EXPERIMENT), seed=100 * seed, budget=budget, budget_unit="flops", **search
    )


def tuned_default(made: Plan, bench: Bench) -> list[Step]:
    """Train the seed model at one rate after the other, in random order, and keep the best."""
    seed = Source(made.model, made.experiment)
    steps = []
    trainer = Trainer(made, bench)
    trainer.train(0, Program(seed, ()), 0)
    trainer.train(0, Program(seed, ()), made.search.top)
    steps.append(trainer.step())
    rates = [rate for rate in _RATES if rate != numbers.present(seed)["learning_rate"]]
    for number, rate in enumerate(random.Random(made.search.seed).sample(rates, len(rates)), 1):
        edit = numbers.edit([("learning_rate", rate)])
        program = Program(numbers.applied(seed, edit), (words_of(edit),))
        for rung in range(made.search.height):
            trainer.train(number, program, rung)
        steps.append(trainer.step())
    return steps


def words_of(edit: Edit) -> str:
    """Say any edit in words."""
    return numbers.words(edit) if edit.operator == numbers.NAME else operators.words(edit)


class Space:
    """What Optuna samples: of each operator whether and which edit, and the experiment's numbers."""

    def __init__(self, seed: Source, names: Sequence[str]) -> None:
        self.seed = seed
        every = {name: operators.lookup(name).sites(seed) for name in names if name != numbers.NAME}
        self.edits = {name: edits for name, edits in every.items() if edits}
        self.numbers = numbers.present(seed)

    def defaults(self) -> dict[str, float]:
        """Return the parameters of the seed model: no edit, its own numbers."""
        return {**{f"use {name}": 0.0 for name in self.edits}, **self.numbers}

    def program(self, trial: Trial) -> Program:
        """Ask for every parameter and make what they say, the operators in the order of their names."""
        values = {name: self._number(trial, name) for name in self.numbers}
        source, words = self.seed, []
        if changed := [(name, value) for name, value in values.items() if value != self.numbers[name]]:
            edit = numbers.edit(changed)
            source, words = numbers.applied(source, edit), [numbers.words(edit)]
        for name, edits in self.edits.items():
            if trial.suggest_float(f"use {name}", 0.0, 1.0) <= 1 - _EDITS / len(self.edits):
                continue
            labels = [f"{edit.variant} @ {edit.site}" for edit in edits]
            wanted = edits[labels.index(trial.suggest_categorical(f"edit of {name}", labels))]
            if found := _nearest(wanted, source):
                source = operators.apply(source, found)
                words.append(operators.words(found))
        return Program(source, tuple(words))

    def _number(self, trial: Trial, name: str) -> float:
        own = numbers.RANGES[name]
        if own.whole:
            return float(trial.suggest_int(name, int(own.low), int(own.high), log=own.log))
        return trial.suggest_float(name, own.low, own.high, log=own.log)


def _nearest(wanted: Edit, source: Source) -> Edit | None:
    """Return the edit as the source still offers it: at its site, else the same variant anywhere."""
    offered = operators.lookup(wanted.operator).sites(source)
    alike = [edit for edit in offered if edit.variant == wanted.variant]
    return wanted if wanted in alike else alike[0] if alike else None


def optuna_tpe(made: Plan, bench: Bench) -> list[Step]:
    """Optuna's TPE over `Space` with its asynchronous successive halving; known programs cost nothing."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(
        sampler=optuna.samplers.TPESampler(seed=made.search.seed),
        pruner=optuna.pruners.SuccessiveHalvingPruner(min_resource=1, reduction_factor=made.search.eta),
    )
    space = Space(Source(made.model, made.experiment), made.operators)
    study.enqueue_trial(space.defaults())
    known: dict[str, tuple[int, list[float | None]]] = {}  # number and losses so far, by canonical program
    steps: list[Step] = []
    trainer = Trainer(made, bench)
    while not trainer.exhausted:
        trial = study.ask()
        program = space.program(trial)
        number, losses = known.setdefault(operators.canonical(program.source), (trial.number, []))
        for rung in range(made.search.height):
            if rung == len(losses):
                losses.append(trainer.train(number, program, rung))
            loss = losses[rung]
            if loss is not None:
                trial.report(loss, made.search.eta**rung)
            if loss is None or (rung < made.search.top and trial.should_prune() and number):
                study.tell(trial, state=optuna.trial.TrialState.PRUNED)
                break
        else:
            study.tell(trial, losses[-1])
        steps.append(trainer.step())
    return steps


METHODS: Mapping[str, Method] = {
    **dict.fromkeys(SETTINGS, searched),
    "nanoGPT's default, rate tuned": tuned_default,
    "Optuna TPE + successive halving": optuna_tpe,
}
