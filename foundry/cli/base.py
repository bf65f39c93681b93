"""The experiment that an operator is to change where the command line names none."""

from __future__ import annotations

import contextlib
from pathlib import Path

import operators
from foundry.cli.mutations import derived
from foundry.cli.prepared import read_text
from foundry.errors import UserError
from foundry.training import experiment

BASE = "experiments/baseline.yaml"


def base_for(operator: str) -> str:
    """Choose the baseline, or the first experiment beside it where the operator has no place in that one.

    The baseline has no adapters and no conversations, say. What cannot be read is passed over.
    """
    known = operators.load().get(operator)
    beside = (str(path) for path in sorted(Path(BASE).parent.glob("*.yaml")))
    for path in (BASE, *beside) if known else ():
        with contextlib.suppress(UserError):
            text = read_text(path)
            if known is not None and known.sites(derived(text, experiment.parse(text, path))):
                return path
    return BASE


def words(operator: str, base: str) -> str:
    """Say that another experiment than the baseline was chosen; nothing where it was not."""
    return f"{operator} has no place in {BASE}, so the base is {base}." if base != BASE else ""
