"""The options of commands that train in the pool: how many at once, and for how long at most."""

from __future__ import annotations

import argparse
import os

from foundry.cli.sandbox import add_sandbox_options
from foundry.trial.job import Limits


def add_pool_options(parser: argparse.ArgumentParser) -> None:
    """Give a command `--jobs`, `--trial-seconds`, `--sandbox` and `--trust-source`."""
    parser.add_argument(
        "--jobs",
        "--workers",
        dest="jobs",
        type=whole_number,
        default=os.cpu_count() or 1,
        metavar="N",
        help="trainings at once (default: one per core)",
    )
    parser.add_argument(
        "--trial-seconds",
        type=whole_number,
        default=int(Limits().seconds),
        metavar="N",
        help=f"limit of one training (default: {Limits().seconds:.0f})",
    )
    add_sandbox_options(parser)


def whole_number(text: str) -> int:
    """Read a whole number of at least 1 from the command line."""
    if not text.isdecimal() or not 1 <= int(text) < 1 << 40:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return int(text)
