"""Evolve the source code of a language model: `python evolve.py --generations 20`.

The loop is `evolve`, below. A candidate is born of a parent by an edit (operators/), becomes a commit on a
branch (genome/), is gated, trained and scored in a process of its own (foundry/trial/), and what came of it
decides who is born, trained further or confirmed next (population/).
"""

from __future__ import annotations

import argparse
import io
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from foundry.cli.edge import guarded
from foundry.cli.nursery import Nursery
from foundry.cli.pool_options import whole_number
from foundry.cli.record import Record
from foundry.cli.report import conclude
from foundry.cli.run import Plan, Run, begin, plan_run, take_up
from foundry.cli.watch import Watch
from foundry.errors import UserError, unknown
from foundry.trial.job import Limits
from foundry.trial.pool import Pool
from population import selection
from population.board import board_for
from population.replay import NOTHING_NEW
from population.search import Search

ARENA = "runs/evolve"
PLAIN_OPTIONS = ("generations", "population", "tokens", "seed", "policy", "trial_seconds", "trial_memory")
NAMED_OPTIONS = ("seed_model", "experiment", "dataset", "operators")


def evolve(search: Search, nursery: Nursery, pool: Pool, record: Record, watch: Watch) -> None:
    """Run the search to its end. Every outcome is on disk before the next order is decided."""
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
            search.tell(order, outcome)
            record.keep(order, nursery.family[order.number], outcome)
            record.write()
            watch.ended(order, outcome)
        watch.show()
    record.write()


def run(options: argparse.Namespace, console: Console) -> int:
    """Begin or take up a run and carry it to its end."""
    current = _resumed(options) if options.resume else begin(options.arena, _plan(options))
    try:
        plan = current.plan
        search = Search(plan.search)
        nursery = Nursery(current.arena, current.ledger, current.seed, plan)
        record = Record(current.arena, current.ledger, search, plan.data)
        limits = Limits(seconds=plan.trial_seconds, memory=plan.trial_memory)
        with (
            board_for(console) as board,
            Pool(
                options.workers, checkpoints=record.checkpoints, limits=limits, preload=plan.experiment
            ) as pool,
        ):
            watch = Watch(current, options.arena, search, nursery, board)
            watch.show()
            evolve(search, nursery, pool, record, watch)
            watch.show()
        conclude(current, search, nursery.family, console)
    except KeyboardInterrupt:
        console.print("\nStopped. Nothing that was finished is lost; go on with:")
        console.print(f"  {_resume_command(options)}", highlight=False, markup=False, soft_wrap=True)
        return 130
    finally:
        current.close()
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the command line and run."""
    options, rest = _parser().parse_known_args(argv)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal without Δ still gets its report
    return guarded(lambda: _run(options, rest), name="evolve", debug=options.debug)


def _run(options: argparse.Namespace, rest: Sequence[str]) -> int:
    if rest:
        raise unknown("option", rest[0], [f"--{name.replace('_', '-')}" for name in vars(options)])
    return run(options, Console())


def _plan(options: argparse.Namespace) -> Plan:
    return plan_run(
        experiment_path=options.experiment or str(Path(__file__).with_name("experiments") / "evolve.yaml"),
        seed_model=options.seed_model,
        data=options.dataset,
        operator_names=options.operators or (),
        **{name: value for name in PLAIN_OPTIONS if (value := getattr(options, name)) is not None},
    )


def _resumed(options: argparse.Namespace) -> Run:
    for name in (*PLAIN_OPTIONS, *NAMED_OPTIONS):
        if name != "generations" and getattr(options, name) is not None:
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
    decides = parser.add_argument_group(
        "what decides the run (recorded: --resume takes none but --generations)"
    )
    for flag, kind, metavar, text in (
        ("--generations", whole_number, "N", "generations of births (default: 20)"),
        (
            "--population",
            whole_number,
            "N",
            "births in a generation, and at most that many workers (default: 8)",
        ),
        ("--tokens", whole_number, "N", "tokens of a full training (default: the experiment's)"),
        ("--seed", int, "N", "the same seed gives the same commits (default: 0)"),
        ("--seed-model", str, "NAME", "a model of foundry/models, or a path (default: the experiment's)"),
        ("--experiment", str, "FILE", "what to start from (default: experiments/evolve.yaml)"),
        ("--dataset", str, "NAME", "shakespeare_char, or the path of a text"),
        ("--operators", _names, "A,B", "use these operators only"),
        (
            "--policy",
            str,
            "NAME",
            f"who becomes a parent: {', '.join(selection.names())} (default: tournament)",
        ),
        ("--trial-seconds", whole_number, "N", "limit of one trial (default: 900)"),
        ("--trial-memory", whole_number, "MB", "limit of one trial (default: 2048)"),
    ):
        decides.add_argument(flag, type=kind, metavar=metavar, help=text)
    here = parser.add_argument_group("where and how it runs")
    here.add_argument("--arena", default=ARENA, metavar="DIR", help=f"the git repository (default: {ARENA})")
    here.add_argument("--resume", action="store_true", help="go on with the run in the arena")
    here.add_argument(
        "--workers", type=whole_number, metavar="N", help="trials at once (default: one per core)"
    )
    here.add_argument("--debug", action="store_true", help="show the traceback of an error")
    parser.set_defaults(workers=os.cpu_count() or 1)
    return parser


def _names(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise argparse.ArgumentTypeError("no operator is named")
    return names


if __name__ == "__main__":
    sys.exit(main())
