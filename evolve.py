"""Evolve the source code of a language model: `python evolve.py --generations 20`.

The loop is `evolve`, below. A candidate is born of a parent by an edit (operators/), becomes a commit on a
branch (genome/), is gated, trained and scored in a process of its own (foundry/trial/), and what came of it
decides who is born, trained further or confirmed next (population/).
"""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from foundry.cli.clock import Clock
from foundry.cli.edge import guarded
from foundry.cli.evolve_options import idle_workers, parser, plan, resume_command, resumed
from foundry.cli.nursery import Nursery
from foundry.cli.record import Record
from foundry.cli.report import conclude
from foundry.cli.run import begin
from foundry.cli.sandbox import chosen
from foundry.cli.watch import Watch
from foundry.errors import UserError, unknown
from foundry.sandbox import level
from foundry.trial.job import Limits
from foundry.trial.pool import Pool
from population import replay
from population.board import board_for
from population.search import Search


def evolve(search: Search, nursery: Nursery, pool: Pool, record: Record, clock: Clock, watch: Watch) -> None:
    """Run the search to its end. Every outcome is on disk before the next order is decided."""
    while not search.finished:
        clock.check()
        while pool.free and (order := search.ask()):
            candidate = nursery.candidate(order)  # bred and committed, where the order is a birth
            search.introduce(order.number, nursery.born(order.number))
            if candidate is None:
                search.tell(order, replay.unborn(order))
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
    current = (
        resumed(options) if options.resume else begin(options.arena, plan(options, Path(__file__).parent))
    )
    try:
        made = current.plan
        sandbox = chosen(options, made.experiment)
        if weaker := level.shortfall(sandbox):
            console.print(weaker, highlight=False)
        if waiting := idle_workers(options, made.search.lag):
            console.print(waiting, highlight=False)
        search = replay.resumed(made.search, made.menu, current.ledger)
        nursery = Nursery(current.arena, current.ledger, current.seed, made)
        record = Record(current.arena, current.ledger, search, made, sandbox)
        clock = Clock(search, current.ledger, options.workers)
        limits = Limits(seconds=made.trial_seconds, memory=made.trial_memory)
        with (
            board_for(console) as board,
            Pool(
                options.workers,
                checkpoints=record.checkpoints,
                limits=limits,
                preload=made.experiment,
                sandbox=sandbox,
            ) as pool,
        ):
            watch = Watch(current, options.arena, sandbox, search, nursery, clock, board)
            watch.show()
            evolve(search, nursery, pool, record, clock, watch)
            watch.show()
        conclude(current, search, nursery.family, console)
    except KeyboardInterrupt:
        console.print("\nStopped. Nothing that was finished is lost; go on with:")
        console.print(f"  {resume_command(options)}", highlight=False, markup=False, soft_wrap=True)
        return 130
    finally:
        current.close()
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the command line and run."""
    options, rest = parser().parse_known_args(argv)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal without Δ still gets its report
    return guarded(lambda: _run(options, rest), name="evolve", debug=options.debug)


def _run(options: argparse.Namespace, rest: Sequence[str]) -> int:
    if rest:
        raise unknown("option", rest[0], [f"--{name.replace('_', '-')}" for name in vars(options)])
    if not isinstance(options.arena, str):  # argparse takes the -- of --arena=-- for an end of options
        raise UserError("--arena needs a folder")
    return run(options, Console())


if __name__ == "__main__":
    sys.exit(main())
