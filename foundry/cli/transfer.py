"""`foundry transfer`: does a run's ranking hold for longer trainings, and its gain for wider models?"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from foundry.cli.compare import verdict as in_words
from foundry.cli.edge import guarded
from foundry.cli.paired import Side, result
from foundry.cli.pool_options import add_pool_options, whole_number
from foundry.cli.run import LEDGER, Plan, plan_of
from foundry.cli.together import train_all
from foundry.errors import UserError
from foundry.training import experiment
from foundry.trial.job import Job
from genome import Arena, Candidate
from operators import numbers
from population.ledger import Ledger
from population.replay import replay
from population.search import SEED_MODEL, Search
from population.statistics import compare, two_sided
from population.transfer import MOST, transfer


def main(argv: Sequence[str] | None = None) -> int:
    """Train the best of a finished run for longer, or its champion wider, and say what held."""
    parser = argparse.ArgumentParser(
        prog="foundry transfer", description="See whether what a run found holds at a larger scale."
    )
    parser.add_argument("arena", nargs="?", default="runs/evolve", help="default: runs/evolve")
    parser.add_argument("--times", type=whole_number, default=4, metavar="N", help="longer (default: 4)")
    parser.add_argument("--best", type=whole_number, default=6, metavar="N", help="candidates (default: 6)")
    parser.add_argument(
        "--width", type=whole_number, metavar="N", help="instead, widen champion and seed model so many times"
    )
    parser.add_argument("--seeds", type=whole_number, default=5, metavar="N", help="for --width (default: 5)")
    add_pool_options(parser)
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    options = parser.parse_args(argv)
    return guarded(lambda: _transfer(options, Console()), name="foundry transfer", debug=options.debug)


@dataclass(frozen=True)
class _Finished:
    """What is needed of a run."""

    plan: Plan
    search: Search
    files: dict[int, dict[str, str]]  # of every candidate that may be trained again, by number
    champion: Candidate | None


def _transfer(options: argparse.Namespace, console: Console) -> int:
    run = _read(options.arena)
    print_sentence = _wider if options.width else _longer
    console.print(print_sentence(run, options), highlight=False, markup=False)
    return 0


def _longer(run: _Finished, options: argparse.Namespace) -> str:
    top = run.search.archive.rungs.losses[run.search.settings.top]
    numbers_of = run.search.archive.rungs.ranking(run.search.settings.top)[: min(options.best, MOST)]
    if len(numbers_of) < 2:
        raise UserError(f"{options.arena} has fewer than two candidates at the full budget: nothing to rank")
    sides = [_side(run, number, options.times) for number in numbers_of]
    outcomes = train_all(sides, options, Console(stderr=True))
    longer = [result(side, outcomes).loss for side in sides]
    return transfer([top[number] for number in numbers_of], longer, options.times).sentence


def _wider(run: _Finished, options: argparse.Namespace) -> str:
    if run.champion is None or run.champion.number == SEED_MODEL:
        raise UserError(f"{options.arena} has no champion but its seed model: nothing to compare")
    sides = [
        _widened(run, number, options.width, options.seeds) for number in (SEED_MODEL, run.champion.number)
    ]
    outcomes = train_all(sides, options, Console(stderr=True))
    seed, champion = (result(side, outcomes).losses for side in sides)
    difference = compare(champion, seed)
    return in_words(f"The champion, {options.width} times as wide,", difference, two_sided(champion, seed))


def _read(path: str) -> _Finished:
    if not Path(path, ".git").exists():
        raise UserError(f"{path} is no arena")
    with Arena.open(path) as arena, Ledger.read(arena.state / LEDGER) as ledger:
        plan = plan_of(ledger)
        search = replay(plan.search, plan.menu, ledger)
        if not search.finished:
            raise UserError(f"the run in {path} has not ended: go on with it first")
        champion = arena.champion()
        wanted = {SEED_MODEL, *search.archive.rungs.losses[search.settings.top]}
        found = {c.number: c for c in arena.candidates() if c.number in wanted}
        found |= {champion.number: champion} if champion else {}
        files = {number: arena.files(candidate) for number, candidate in found.items()}
    return _Finished(plan, search, files, champion)


def _side(run: _Finished, number: int, times: int) -> Side:
    until, budget, unit = run.search.archive.spending.until(run.search.settings.top)
    job = Job(
        model=run.files[number]["model.py"],
        experiment=run.files[number]["experiment.yaml"],
        data=run.plan.data,
        seed=run.plan.search.seed,
        until=until * times,
        budget=budget * times,
        unit=unit,
        foreign=run.plan.foreign,
    )
    return Side(f"candidate {number}", ((job,),))


def _widened(run: _Finished, number: int, times: int, seeds: int) -> Side:
    """Widen a model by its experiment alone; heads grow in number, not in size."""
    text = run.files[number]["experiment.yaml"]
    parsed = experiment.parse(text)
    wider = {
        name: value * times
        for name in ("n_embd", "n_head", "n_kv_head")
        if isinstance(value := parsed.model_args.get(name), int)
    }
    if "n_embd" not in wider:
        raise UserError(
            "the experiment states no model_args.n_embd: its model cannot be widened from outside"
        )
    text = numbers.with_numbers(text, {f"model_args.{name}": value for name, value in wider.items()})
    tokens = run.plan.search.tokens
    jobs = [
        Job(
            model=run.files[number]["model.py"],
            experiment=text,
            data=run.plan.data,
            seed=run.plan.search.seed + seed,
            until=tokens,
            budget=tokens,
            split="val_confirm",
            foreign=run.plan.foreign,
        )
        for seed in range(seeds)
    ]
    return Side("the champion" if number != SEED_MODEL else "the seed model", tuple((job,) for job in jobs))
