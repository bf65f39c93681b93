"""All sides of a comparison trained in a pool of their own; where one fails, nothing can be compared."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from foundry.cli.job_log import JobLog
from foundry.cli.paired import Outcomes, Side, count_missing, train
from foundry.cli.sandbox import chosen
from foundry.errors import UserError
from foundry.trial.job import Job, Limits
from foundry.trial.outcome import Outcome, Scored
from foundry.trial.pool import Pool
from population.search import describe


def train_all(sides: Sequence[Side], options: argparse.Namespace, console: Console) -> Outcomes:
    """Run every training of every side, as many at once as the options say, and tell the console of each.

    Raises:
        UserError: one was not scored.
    """
    outcomes: Outcomes = {}
    log = JobLog(console, count_missing(sides, outcomes))

    def tell(side: Side, job: Job, outcome: Outcome) -> None:
        log.print(side, job, outcome)
        if not isinstance(outcome, Scored):
            raise UserError(f"{side.name} cannot be compared: seed {job.seed} {describe(outcome)}")

    first = sides[0].trainings[0][0]
    with (
        tempfile.TemporaryDirectory() as folder,
        Pool(
            options.jobs,
            checkpoints=Path(folder),
            limits=Limits(seconds=options.trial_seconds),
            preload=first.experiment,
            sandbox=chosen(options, *(side.trainings[0][0].experiment for side in sides)),
        ) as pool,
    ):
        train(sides, pool, outcomes, tell)
    return outcomes
