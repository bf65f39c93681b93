"""`foundry doctor`: what is wrong with an arena, and its repair."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from foundry.cli.edge import guarded
from foundry.cli.examination import at_work, counts, faults
from foundry.cli.run import LEDGER
from foundry.errors import UserError
from genome.failures import writing_to
from genome.fault import Fault
from genome.lock import WriterLock
from genome.repository import Repository, locate_repository
from population.figures import count
from population.ledger_file import take_lock


def main(argv: Sequence[str] | None = None) -> int:
    """Examine an arena; 0 where all is well, 1 where findings are left."""
    parser = argparse.ArgumentParser(
        prog="foundry doctor", description="Say what is wrong with an arena, and repair it."
    )
    parser.add_argument("--arena", default="runs/evolve", metavar="DIR", help="default: runs/evolve")
    parser.add_argument(
        "--repair", action="store_true", help="mend what can be mended; else nothing is written"
    )
    parser.add_argument("--json", action="store_true", help="print everything as JSON")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    options = parser.parse_args(argv)
    return guarded(lambda: _examine(options), name="foundry doctor", debug=options.debug)


def _examine(options: argparse.Namespace) -> int:
    if not Path(options.arena).is_dir():
        raise UserError(f"{options.arena} is not a folder: give the arena of a run with --arena")
    repository = locate_repository(Path(options.arena))
    busy = at_work(repository)
    if busy and options.repair:
        raise UserError(f"a run is at work in {options.arena}: stop it, then repair")
    mended = _repair(repository) if options.repair else []
    left = list(faults(repository, busy=busy))
    show = _print_json if options.json else _print
    show(options, mended, left, counts(repository), busy)
    return 1 if left else 0


def _repair(repository: Repository) -> list[Fault]:
    """Mend what can be mended, in turn: what is found later may follow from what was found before."""
    state = repository.directory / "foundry"
    with writing_to(state):
        state.mkdir(exist_ok=True)
    writer = WriterLock(state)
    with ExitStack() as locks:
        writer.hold()
        locks.callback(writer.release)
        locks.enter_context(take_lock(state / LEDGER))
        mended = []
        for fault in faults(repository, busy=False):
            if fault.mend is not None:
                fault.mend()
                mended.append(fault)
    return mended


def _print(
    options: argparse.Namespace, mended: list[Fault], left: list[Fault], found: dict[str, int], busy: bool
) -> None:
    if busy:
        print("a run is at work here: what it is writing now is left out")
    for fault in mended:
        print(f"mended: {fault.what}")
    for fault in left:
        print(f"{fault.what}: {fault.remedy}")
    facts = ", ".join(f"{number} {name}" for name, number in found.items() if name != "bytes")
    print(f"{options.arena} {'has findings' if left else 'is well'}: {facts}, {count(found['bytes'])} bytes")
    if mendable := sum(fault.mend is not None for fault in left):
        print(f"foundry doctor --repair mends {mendable} of {len(left)}")


def _print_json(
    options: argparse.Namespace, mended: list[Fault], left: list[Fault], found: dict[str, int], busy: bool
) -> None:
    findings = [_as_json(fault, True) for fault in mended] + [_as_json(fault, False) for fault in left]
    body = {"arena": options.arena, "at_work": busy, "well": not left, "counts": found, "findings": findings}
    print(json.dumps(body, indent=2, sort_keys=True))


def _as_json(fault: Fault, mended: bool) -> dict[str, Any]:
    return {
        "what": fault.what,
        "remedy": fault.remedy,
        "mended": mended,
        "mendable": fault.mend is not None,
    }
