"""Under which level of the sandbox a command runs its trials."""

from __future__ import annotations

import argparse

from foundry.errors import UserError
from foundry.sandbox import level
from foundry.seed import is_foreign
from foundry.training import experiment

UNKNOWN = "?"  # of outcomes that an older run has recorded


def add_sandbox_options(parser: argparse._ActionsContainer) -> None:
    """Give a command `--sandbox` and `--trust-source`."""
    parser.add_argument(
        "--sandbox",
        default="auto",
        metavar="LEVEL",
        help=f"of trials: {', '.join(level.LEVELS)}, or auto: the strongest that works here (default)",
    )
    parser.add_argument(
        "--trust-source",
        action="store_true",
        help="run a model file of your own even where the level is no more than process",
    )


def chosen(options: argparse.Namespace, *experiments: str) -> str:
    """Return the level for trials of experiments, which are given as their text.

    Raises:
        UserError: this machine cannot keep the level, or a model that no operator of ours made would run
            without a sandbox.
    """
    found = level.choose(options.sandbox)
    if found == level.LEVELS[0] and not options.trust_source:
        for model in (experiment.parse(text).base_model for text in experiments):
            if is_foreign(model):
                raise UserError(
                    f"{model} was not written by Foundry, and its trials would run without a sandbox "
                    f"({level.shortfall(found)}): read it, then say --trust-source"
                )
    return found
