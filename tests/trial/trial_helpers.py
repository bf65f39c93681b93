"""What tests of trials have in common."""

from __future__ import annotations

import time
from importlib import resources
from pathlib import Path

from foundry.trial.job import Job
from foundry.trial.outcome import Outcome
from foundry.trial.pool import Pool

V1 = resources.files("foundry").joinpath("models/v1.py").read_text("utf-8")
EXPERIMENT = (Path(__file__).parents[2] / "experiments" / "micro.yaml").read_text("utf-8")
STEP = 8 * 32  # tokens


def outcomes(pool: Pool, **jobs: Job) -> dict[str, Outcome]:
    """Run jobs to their end, as many at a time as the pool takes."""
    waiting = list(jobs.items())
    found: dict[str, Outcome] = {}
    deadline = time.monotonic() + 120
    while len(found) < len(jobs):
        assert time.monotonic() < deadline, f"no news of {jobs.keys() - found.keys()}"
        while waiting and pool.free:
            pool.start(*waiting.pop(0))
        found.update(pool.finished(timeout=0.5))
    return found
