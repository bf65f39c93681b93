"""Evolve the source code of a language model: `python evolve.py --generations 20`.

The loop is `evolve`, below. A candidate is born of a parent by an edit (operators/), becomes a commit on a
branch (genome/), is gated, trained and scored in a process of its own (foundry/trial/), and what came of it
decides who is born, trained further or confirmed next (population/).
"""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from foundry.cli.edge import guarded
from foundry.cli.nursery import Nursery
from foundry.cli.record import Record
from foundry.cli.report import conclude
from foundry.cli.run import Plan, Run, begin, plan_run, take_up
from foundry.cli.watch import Watch
from foundry.errors import UserError
from foundry.trial.job import Limits
from foundry.trial.pool import Pool
from population import selection
from population.board import board_for
from population.replay import NOTHING_NEW
from population.search import Search

ARENA = "runs/evolve"
SEARCH_OPTIONS = ("generations", "population", "tokens", "seed", "policy")
PLAN_OPTIONS = ("population", "tokens", "seed", "seed_model", "experiment", "dataset", "operators", "policy")


def evolve(search: Search, nursery: Nursery, pool: Pool, record: Record, watch: Watch) -> None:
    """Run the search to its end. Every outcome is on disk before it can influence anything."""
    while not search.finished:
        while pool.free and (order := search.ask()):
            candidate = nursery.candidate(order)  # bred and committed, where the order is a birth
            if candidate is None:
                search.tell(order, NOTHING_NEW)
                continue
            job = record.job(order, candidate)
            if known := record.recall(order, candidate, job):
                search.tell(order, known)
            else:
                pool.start(str(order.index), job)
                watch.started(order.index)
        for name, outcome in pool.finished(timeout=0.25):
            order = search.orders[int(name)]
            record.keep(order, nursery.family[order.number], outcome)
            search.tell(order, outcome)
            record.write()
            watch.ended(order, outcome)
        watch.show()
    record.write()


def run(options: argparse.Namespace, console: Console) -> int:
    """Begin or take up a run and carry it to its end."""
    current = _resumed(options) if options.resume else begin(options.arena, _plan(options))
    search = Search(current.plan.search)
    nursery = Nursery(current.arena, current.ledger, current.seed, current.plan.operators)
    record = Record(current.arena, current.ledger, search, current.plan.data)
    preload = current.plan.preload
    limits = Limits(seconds=options.trial_seconds, memory=options.trial_memory << 20)
    try:
        with (
            board_for(console) as board,
            Pool(options.workers, checkpoints=record.checkpoints, limits=limits, preload=preload) as pool,
        ):
            watch = Watch(current, options.arena, search, nursery, board)
            watch.show()
            evolve(search, nursery, pool, record, watch)
            watch.show()
        conclude(current, search, nursery.family, console)
        current.arena.tidy()
    except KeyboardInterrupt:
        console.print("\nStopped. Nothing that was finished is lost; go on with:")
        console.print(f"  {_resume_command(options)}", highlight=False, soft_wrap=True)
        return 130
    finally:
        current.close()
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the command line and run."""
    options = _parser().parse_args(argv)
    return guarded(lambda: run(options, Console()), name="evolve", debug=options.debug)


def _plan(options: argparse.Namespace) -> Plan:
    return plan_run(
        experiment_path=options.experiment or str(Path(__file__).with_name("experiments") / "evolve.yaml"),
        seed_model=options.seed_model,
        data=options.dataset,
        operator_names=options.operators or (),
        **{name: value for name in SEARCH_OPTIONS if (value := getattr(options, name)) is not None},
    )


def _resumed(options: argparse.Namespace) -> Run:
    for name in PLAN_OPTIONS:
        if getattr(options, name) is not None:
            option = f"--{name.replace('_', '-')}"
            raise UserError(f"{option} is part of the run in {options.arena}: leave it out")
    return take_up(options.arena, options.generations)


def _resume_command(options: argparse.Namespace) -> str:
    arena = "" if options.arena == ARENA else f" --arena {shlex.quote(options.arena)}"
    return f"python evolve.py{arena} --resume"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="evolve.py", description="Evolve the source code of a language model."
    )
    whole = parser.add_argument_group(
        "what decides the run (recorded, so --resume takes none but --generations)"
    )
    whole.add_argument(
        "--generations", type=_positive, metavar="N", help="generations of births (default: 20)"
    )
    whole.add_argument(
        "--population", type=_positive, metavar="N", help="births in a generation (default: 8)"
    )
    whole.add_argument(
        "--tokens", type=_positive, metavar="N", help="tokens of a full training (default: the experiment's)"
    )
    whole.add_argument(
        "--seed", type=int, metavar="N", help="the same seed gives the same commits (default: 0)"
    )
    whole.add_argument(
        "--seed-model", metavar="NAME", help="a model of foundry/models, or a path (default: v1)"
    )
    whole.add_argument(
        "--experiment", metavar="FILE", help="what to start from (default: experiments/evolve.yaml)"
    )
    whole.add_argument("--dataset", metavar="NAME", help="shakespeare_char, or the path of a text")
    whole.add_argument("--operators", metavar="A,B", type=_names, help="use these operators only")
    whole.add_argument(
        "--policy", choices=selection.names(), help="who becomes a parent (default: tournament)"
    )
    here = parser.add_argument_group("where and how it runs")
    here.add_argument("--arena", default=ARENA, metavar="DIR", help=f"the git repository (default: {ARENA})")
    here.add_argument("--resume", action="store_true", help="go on with the run in the arena")
    here.add_argument(
        "--workers",
        type=_positive,
        default=os.cpu_count() or 1,
        metavar="N",
        help="trials at once (default: one per core)",
    )
    here.add_argument(
        "--trial-seconds", type=_positive, default=900, metavar="N", help="limit of one trial (default: 900)"
    )
    here.add_argument(
        "--trial-memory",
        type=_positive,
        default=2048,
        metavar="MB",
        help="limit of one trial (default: 2048)",
    )
    here.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return parser


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not at least 1")
    return value


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


if __name__ == "__main__":
    sys.exit(main())
