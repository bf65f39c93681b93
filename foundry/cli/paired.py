"""Experiments trained side by side with the same seeds, in the loop's own pool, and what each came to."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from foundry.cli.prepared import Prepared
from foundry.data import dataset
from foundry.errors import UserError
from foundry.seed import is_foreign
from foundry.trial.job import Job
from foundry.trial.outcome import Outcome, Scored
from foundry.trial.pool import Pool
from population.statistics import sigma

SPLIT = "val_confirm"  # selection never sees it
LEVEL = 0.05  # of p: below it, a difference is called one


@dataclass(frozen=True)
class Side:
    """One experiment of those that are compared, and for each seed its training.

    A training is a chain of jobs that go on from one another; the last is its end.
    """

    name: str
    trainings: tuple[tuple[Job, ...], ...]

    @property
    def data(self) -> str:
        """The sha256 of its data set."""
        return self.trainings[0][-1].data


Outcomes = dict[str, Outcome]  # by Job.key
Told = Callable[[Side, Job, Outcome], None]


def side(ready: Prepared, seeds: int, points: int = 1) -> Side:
    """Write out the trainings of an experiment with seeds 0, 1 …, each scored at up to `points` points.

    Raises:
        UserError: fewer than 2 seeds, which say nothing about chance.
    """
    if seeds < 2:
        raise UserError("a comparison needs at least 2 seeds")
    experiment = ready.experiment
    total = experiment.training.max_iters
    steps = sorted({max(1, total * point // points) for point in range(1, points + 1)})
    end = Job(
        model=ready.model,
        experiment=ready.text,
        data=dataset.unselected(experiment.data).sha256,
        seed=0,
        until=total * experiment.tokens_per_step,
        budget=total * experiment.tokens_per_step,
        split=SPLIT,
        foreign=is_foreign(experiment.base_model),
    )
    return Side(
        experiment.name,
        tuple(
            tuple(
                replace(
                    end,
                    seed=seed,
                    until=step * experiment.tokens_per_step,
                    gated=step == steps[0],
                    begun=step > steps[0],
                )
                for step in steps
            )
            for seed in range(seeds)
        ),
    )


def require_same_data(sides: Sequence[Side]) -> None:
    """Check that losses can be compared at all.

    Raises:
        UserError: two sides are on different data.
    """
    first, *others = sides
    for other in others:
        if other.data != first.data:
            raise UserError(
                f"{first.name} and {other.name} are on different data: their losses cannot be compared"
            )


def train(sides: Sequence[Side], pool: Pool, outcomes: Outcomes, tell: Told) -> None:
    """Run every job that has no outcome yet, and add what became of it to `outcomes`.

    The sides take turns, so that none has the quieter machine. Each outcome is told at once. After a failure,
    nothing more is begun of that side with a higher seed.
    """
    waiting = deque((side, chain) for turn in zip(*map(_chains, sides), strict=True) for side, chain in turn)
    running: dict[str, tuple[Side, Job, list[Job]]] = {}

    def start(side: Side, job: Job, *further: Job) -> None:
        pool.start(job.key, job)
        running[job.key] = side, job, list(further)

    while waiting or running:
        while waiting and pool.free:
            side, chain = waiting.popleft()
            missing = _missing(side, chain, outcomes)
            if missing and missing[0].key not in running:  # it is, where two sides are the same experiment
                start(side, *missing)
        for key, outcome in pool.finished(timeout=1.0):
            side, job, further = running.pop(key)
            outcomes[key] = outcome
            tell(side, job, outcome)
            if further and isinstance(outcome, Scored):
                start(side, *further)


def _chains(side: Side) -> list[tuple[Side, tuple[Job, ...]]]:
    return [(side, chain) for chain in side.trainings]


def count_missing(sides: Sequence[Side], outcomes: Outcomes) -> int:
    """Count the jobs that `train` would begin with, or go on to."""
    chains = [(side, chain) for side in sides for chain in side.trainings]
    return len({job.key for side, chain in chains for job in _missing(side, chain, outcomes)})


def _missing(side: Side, chain: Sequence[Job], outcomes: Outcomes) -> list[Job]:
    failed = failure(side, outcomes)
    if failed and failed[0].seed <= chain[0].seed:
        return []
    return [job for job in chain if job.key not in outcomes]


def failure(side: Side, outcomes: Outcomes) -> tuple[Job, Outcome] | None:
    """Return the first job of a side, by seed, that ended without a score."""
    for chain in side.trainings:
        for job in chain:
            outcome = outcomes.get(job.key)
            if outcome is not None and not isinstance(outcome, Scored):
                return job, outcome
    return None


@dataclass(frozen=True)
class Result:
    """What the trainings of one side came to: their scores, by seed."""

    name: str
    scores: tuple[Scored, ...]

    @property
    def losses(self) -> list[float]:
        """Losses in nats per token on SPLIT, by seed."""
        return [score.loss for score in self.scores]

    @property
    def loss(self) -> float:
        """Return the mean loss, in nats per token."""
        return math.fsum(self.losses) / len(self.losses)

    def facts(self) -> dict[str, float]:
        """Return what the tables show, means over the seeds, by name."""
        n = len(self.scores)
        return {
            "loss": self.loss,
            "sigma": sigma(self.losses),
            "perplexity": math.exp(self.loss),
            "bits_per_byte": math.fsum(score.bits_per_byte for score in self.scores) / n,
            "tokens_per_second": sorted(score.tokens_per_second for score in self.scores)[n // 2],
            "params": self.scores[0].params,
            "train_flops": self.scores[0].train_flops,
        }


def result(side: Side, outcomes: Outcomes) -> Result:
    """Gather the scores at the ends of a side's trainings, none of which may have failed."""
    ends = [outcomes[chain[-1].key] for chain in side.trainings]
    scores = tuple(outcome for outcome in ends if isinstance(outcome, Scored))
    assert len(scores) == len(ends)
    return Result(side.name, scores)
