"""`foundry show CANDIDATE`: where a candidate comes from, what it scored, and what it changes."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.syntax import Syntax

from foundry.cli.edge import guarded
from foundry.cli.lineage import print_lineage
from foundry.errors import UserError, unknown
from genome import Arena, Candidate


def main(argv: Sequence[str] | None = None) -> int:
    """Print one candidate for a person."""
    parser = argparse.ArgumentParser(prog="foundry show", description="Show one candidate of a run.")
    parser.add_argument("candidate", help="its number, its name, or a beginning of the name; `champion` too")
    parser.add_argument("--arena", default="runs/evolve", help="default: runs/evolve")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    options = parser.parse_args(argv)
    return guarded(lambda: _show(options, Console()), name="foundry show", debug=options.debug)


def _show(options: argparse.Namespace, console: Console) -> int:
    if not Path(options.arena, ".git").exists():
        raise UserError(f"{options.arena} is no arena")
    with Arena.open(options.arena) as arena:
        candidate = find_candidate(arena, options.candidate)
        note = arena.notes().get(candidate.commit, {})
        lineage = arena.lineage(candidate)
        console.print(f"{candidate.name}  {candidate.words}", style="bold", highlight=False, markup=False)
        console.print(f"commit {candidate.commit}", highlight=False)
        for key, value in note.items():
            console.print(f"  {key}: {value}", highlight=False, markup=False, soft_wrap=True)
        console.print("\n[bold]Lineage[/bold]")
        print_lineage(lineage, console)
        if len(lineage) > 1:
            console.print(f"\n[bold]Change from {lineage[-2].name}[/bold]")
            console.print(
                Syntax(arena.diff(lineage[-2], candidate), "diff", background_color="default", word_wrap=True)
            )
    return 0


def find_candidate(arena: Arena, wanted: str) -> Candidate:
    """Return the one candidate of this number, name or beginning of a name.

    Raises:
        UserError: there is none, or several.
    """
    candidates = arena.candidates()
    if wanted == "champion":
        crowned = arena.champion()
        if crowned is None:
            raise UserError("there is no champion yet: it is crowned when the run has ended")
        return crowned
    name = wanted.removeprefix("candidate/")
    exact = [c for c in candidates if c.name == name or (wanted.isdigit() and c.number == int(wanted))]
    found = exact or [c for c in candidates if c.name.startswith(name)]
    if not found:
        raise unknown("candidate", wanted, [c.name for c in candidates])
    if len(found) > 1:
        raise UserError(
            f"{wanted!r} names {len(found)} candidates, such as {found[0].name} and {found[1].name}"
        )
    return found[0]
