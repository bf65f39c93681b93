"""`foundry mutate OPERATOR VARIANT`: write an experiment that is another with one edit made."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

import operators
from foundry.cli.base import BASE, base_for, words
from foundry.cli.edge import guarded
from foundry.cli.mutant import mutant, show_change
from foundry.cli.mutations import derived, find_edit
from foundry.cli.prepared import read_text
from foundry.errors import UserError
from foundry.training import experiment
from operators import Source


def main(argv: Sequence[str] | None = None) -> int:
    """Write a mutated experiment, or show what there is or what would change."""
    parser = argparse.ArgumentParser(
        prog="foundry mutate", description="Write an experiment with one edit made."
    )
    parser.add_argument("operator", nargs="?", help="such as swap_activation; see --list")
    parser.add_argument("variant", nargs="?", help="such as relu2")
    parser.add_argument("--site", help="where, if the variant fits in several places")
    parser.add_argument(
        "--base",
        metavar="FILE",
        help=f"what to change (default: {BASE}, or one beside it that the operator can change)",
    )
    parser.add_argument("--name", help="of the new experiment (default: OPERATOR_VARIANT)")
    parser.add_argument("--list", action="store_true", help="list the edits that apply to the base")
    parser.add_argument(
        "--dry-run", action="store_true", help="show the change of source and YAML, write nothing"
    )
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    options = parser.parse_args(argv)
    if not options.list and not (options.operator and options.variant):
        parser.error("give an operator and a variant, or --list")
    return guarded(lambda: _mutate(options, Console()), name="foundry mutate", debug=options.debug)


def _mutate(options: argparse.Namespace, console: Console) -> int:
    base = options.base or (BASE if options.list else base_for(options.operator))
    text = read_text(base)
    source = derived(text, experiment.parse(text, base))
    if options.list:
        _list(source, options.operator, console)
        return 0
    edit = find_edit(source, options.operator, options.variant, options.site)
    made = mutant(source, edit, base, options.name)
    experiment.parse(made.source.experiment, f"{made.name}.yaml")
    if options.base is None and (note := words(options.operator, base)):
        console.print(note, highlight=False, markup=False, soft_wrap=True)
    if options.dry_run:
        show_change(source, made.source, console)
        return 0
    target = Path(base).with_name(f"{made.name}.yaml")
    if target.exists():
        raise UserError(f"{target} exists already: give another --name")
    target.write_text(made.source.experiment, "utf-8")
    console.print(f"{target}: {operators.words(edit)}", highlight=False, markup=False, soft_wrap=True)
    return 0


def _list(source: Source, operator: str | None, console: Console) -> None:
    for name, known in operators.load().items():
        if operator in (None, name):
            variants = sorted({edit.variant for edit in known.sites(source)})
            shown = " ".join(variants) or "(nothing to change here)"
            console.print(f"{name:<16} {shown}", highlight=False, markup=False, soft_wrap=True)
