"""`foundry board`: the leaderboard of a run, while it goes on or later."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from foundry.cli.edge import guarded
from foundry.cli.run import LEDGER, plan_of
from foundry.cli.sandbox import UNKNOWN
from foundry.errors import UserError
from genome import Arena
from population.board import print_leaderboard
from population.ledger import Ledger
from population.ledger_shape import require_run
from population.rebuild import from_notes
from population.replay import replay
from population.standings import Standings, as_json
from population.view import Progress, standings


def main(argv: Sequence[str] | None = None) -> int:
    """Print the standings of the run in an arena."""
    parser = argparse.ArgumentParser(prog="foundry board", description="Show the leaderboard of a run.")
    parser.add_argument("arena", nargs="?", default="runs/evolve", help="default: runs/evolve")
    parser.add_argument("--rows", type=int, default=20, metavar="N", help="candidates to show (default: 20)")
    parser.add_argument("--json", action="store_true", help="print everything as JSON")
    parser.add_argument("--rebuild", action="store_true", help="draw it from git alone, without the ledger")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    options = parser.parse_args(argv)
    return guarded(lambda: _show(options), name="foundry board", debug=options.debug)


def _show(options: argparse.Namespace) -> int:
    current = read(options.arena, from_git=options.rebuild)
    if options.json:
        print(json.dumps(as_json(current), indent=2, sort_keys=True))
    else:
        print_leaderboard(current, Console(), rows=options.rows)
    return 0


def read(path: str, *, from_git: bool = False) -> Standings:
    """Draw up the standings of the run in an arena, from its ledger or from git alone.

    Raises:
        UserError: there is no run.
    """
    if not Path(path, ".git").exists():
        raise UserError(f"{path} is no arena: `python evolve.py --arena {path}` would begin a run there")
    with Arena.open(path) as arena:
        candidates = arena.candidates()
        if not candidates:
            raise UserError(f"{path} is a repository, but holds no run")
        if from_git:
            return from_notes(candidates, arena.notes(), arena=path, champion=arena.champion())
        with Ledger.read(arena.state / LEDGER) as ledger:
            require_run(ledger)
            plan = plan_of(ledger)
            search = replay(plan.search, plan.menu, ledger)
            seconds = ledger.active_seconds()
            levels = {body.get("sandbox", UNKNOWN) for _, body, _ in ledger.outcomes()}
    family = {candidate.number: candidate for candidate in candidates}
    progress = Progress(seconds=seconds, running={}, log="", sandbox=" and ".join(sorted(levels)) or UNKNOWN)
    return standings(search, family, arena=path, dataset=plan.dataset, progress=progress)
