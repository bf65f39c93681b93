"""An experiment that is another with one edit made: what `foundry mutate` writes and `sweep` trains."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass

from rich.console import Console
from rich.syntax import Syntax

import operators
from foundry.cli.experiment_text import with_mutation, with_value
from operators import Edit, Source


@dataclass(frozen=True)
class Mutant:
    """The edit, and what it makes of its parent."""

    edit: Edit
    name: str
    source: Source  # its experiment names itself, its mutations, and where it comes from


def mutant(parent: Source, edit: Edit, base: str, name: str | None = None) -> Mutant:
    """Make one edit of the experiment in the file `base`; by default it is called OPERATOR_VARIANT."""
    child = operators.apply(parent, edit)
    name = name or re.sub(r"[^a-z0-9]+", "_", f"{edit.operator}_{edit.variant}")
    text = with_value(with_edit(parent, child, edit), ("name",), name)
    origin = f"{operators.words(edit)}: {base}, by `foundry mutate {edit.operator} {edit.variant}`."
    return Mutant(edit, name, Source(child.model, f"# {origin}\n{text}"))


def with_edit(parent: Source, child: Source, edit: Edit) -> str:
    """Return the child's experiment; an edit of the model becomes one of its mutations."""
    if child.model == parent.model:
        return child.experiment
    return with_mutation(child.experiment, f"{edit.operator} {edit.variant} @ {edit.site}")


def show_change(old: Source, new: Source, console: Console) -> None:
    """Print what differs in source and experiment."""
    for file, before, after in (
        ("model.py", old.model, new.model),
        ("experiment.yaml", old.experiment, new.experiment),
    ):
        diff = difflib.unified_diff(
            before.splitlines(), after.splitlines(), f"a/{file}", f"b/{file}", lineterm=""
        )
        console.print(Syntax("\n".join(diff), "diff", background_color="default", word_wrap=True))
