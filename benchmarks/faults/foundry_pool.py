"""Foundry's Pool, as evolve.py uses it: gates, the strongest sandbox, scores computed out of reach."""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks.faults.task import Task, answer
from foundry.data import dataset
from foundry.data.settings import Data
from foundry.trial.job import Job, Limits
from foundry.trial.outcome import Outcome, Scored
from foundry.trial.pool import Pool

ROOT = Path(__file__).parents[2]
STEP = 8 * 32  # tokens of an update


def main(path: str) -> None:
    """Score the candidates of a task."""
    task = Task.read(path)
    micro = (ROOT / "experiments" / "micro.yaml").read_text("utf-8")
    experiment = micro.replace("shakespeare_char", task.text)
    sha256 = dataset.load(Data(dataset=task.text)).sha256
    limits = Limits(seconds=task.seconds, memory=1200 << 20, file_size=64 << 20)
    scores, said = dict[str, float](), dict[str, str]()
    waiting = list(task.sources.items())
    with Pool(
        task.workers, checkpoints=Path(task.folder, "checkpoints"), limits=limits, preload=experiment
    ) as pool:
        while len(scores) + len(said) < len(task.sources):
            while waiting and pool.free:
                name, source = waiting.pop(0)
                pool.start(name, _job(source, experiment, sha256, task))
            for name, outcome in pool.finished(timeout=0.25):
                _note(name, outcome, scores, said)
                answer(task, scores, said)


def _job(source: str, experiment: str, sha256: str, task: Task) -> Job:
    return Job(
        model=source,
        experiment=experiment,
        data=sha256,
        seed=0,
        until=task.steps * STEP,
        budget=task.steps * STEP,
        gated=task.options.get("gates") != "off",
        foreign=True,
    )


def _note(name: str, outcome: Outcome, scores: dict[str, float], said: dict[str, str]) -> None:
    if isinstance(outcome, Scored):
        scores[name] = outcome.loss
    else:
        about = getattr(outcome, "gate", "") or getattr(outcome, "reason", "")
        said[name] = f"{type(outcome).__name__} {about}".strip()


if __name__ == "__main__":
    main(sys.argv[1])
