"""How a candidate came to be: its ancestors, and the edits of each in words."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console

from genome import Candidate
from population.table import short_name


def print_lineage(lineage: Sequence[Candidate], console: Console) -> None:
    """Print a line for every edit, the seed model's first; a birth of several is named once."""
    for member in lineage:
        name = short_name(member.name)
        for step in member.steps:
            console.print(f"  {name}  {step.words}", highlight=False, markup=False)
            name = " " * len(name)
