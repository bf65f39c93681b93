"""What isolation costs: trials under each level of the sandbox beside the same work done in one process.

    python -m benchmarks.isolation
    python -m benchmarks.isolation --part 1 --rounds 3

The one process is a fork of this one, which has imported what a trial server has, allocates memory as that
does and holds the data: it builds, trains, saves and scores the model by itself. All take turns in rounds,
each with an experiment that nobody has seen; what a level adds is compared within each round, and figures are
medians over them:

start     of a trial that is over at once (its source is no Python), and of a fork that does nothing
tokens/s  in training
scoring   seconds that the scorer's questions, answers and audit take beyond scoring in place, as a share of
          the trial
trial     a whole one, gates left out, of the first rung; with `--part 1`, of the last

With `--foreign` others wrote the source, and it is audited thoroughly at every rung.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from foundry.data import dataset
from foundry.data.material import Held
from foundry.sandbox import level
from foundry.seed import read_model
from foundry.source import build_model, load_module
from foundry.training import checkpoint, experiment, init, loop, measure, score
from foundry.training.fitting import fit
from foundry.trial import server
from foundry.trial.job import Job, Limits
from foundry.trial.outcome import Outcome, Rejected, Scored
from foundry.trial.pool import MEMORY, Pool

HERE = Path(__file__).parents[1]
PLAIN = "none"


@dataclass(frozen=True)
class Taken:
    """Seconds of one trial, and its speed."""

    start: float  # of another one that is over at once
    whole: float
    trained: float  # building, training, saving
    tokens_per_second: float
    loss: float

    @property
    def rest(self) -> float:
        """What is left beside a start and a training: counting the cost, scoring."""
        return self.whole - self.start - self.trained


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--part", type=int, default=9, help="train one part in so many of the budget")
    parser.add_argument("--experiment", type=Path, default=HERE / "experiments" / "evolve.yaml")
    parser.add_argument("--foreign", action="store_true")
    options = parser.parse_args()
    like_a_server("benchmarks.isolation")
    taken = measured(options)
    plain = taken[PLAIN]
    head = ("level", "start ms", "tokens/s", "ratio", "scoring", "trial s", "ratio")
    print(" ".join(f"{word:>9}" for word in head))
    for name, own in taken.items():
        pairs = list(zip(own, plain, strict=True))
        start = 1e3 * statistics.median(one.start for one in own)
        speed = statistics.median(one.tokens_per_second for one in own)
        faster = statistics.median(one.tokens_per_second / other.tokens_per_second for one, other in pairs)
        scoring = statistics.median((one.rest - other.rest) / other.whole for one, other in pairs)
        whole = statistics.median(one.whole for one in own)
        longer = statistics.median(one.whole / other.whole for one, other in pairs)
        print(f"{name:>9} {start:9.1f} {speed:9.0f} {faster:9.3f} {scoring:9.1%} {whole:9.3f} {longer:9.3f}")


def measured(options: argparse.Namespace) -> dict[str, list[Taken]]:
    """Return by level what each round took."""
    text = options.experiment.read_text("utf-8")
    trials = Trials(text, options.part, foreign=options.foreign)
    found: dict[str, list[Taken]] = {}
    with tempfile.TemporaryDirectory() as folder:
        pools = {
            name: Pool(1, checkpoints=Path(folder, name), limits=Limits(), preload=text, sandbox=name)
            for name in level.available()
        }
        for pool in pools.values():
            ended(pool, replace(trials.job(0), until=1))  # the others must not wait for their servers
        for number in range(1, options.rounds + 1):
            job = trials.job(number)
            ways: dict[str, Callable[[], Taken]] = {
                PLAIN: lambda job=job: plainly(job, trials.held, Path(folder))
            }
            ways |= {name: lambda job=job, pool=pool: pooled(job, pool) for name, pool in pools.items()}
            taken = {name: way() for name, way in ways.items()}
            assert len({one.loss for one in taken.values()}) == 1, "the same work has the same score"
            for name, one in taken.items():
                found.setdefault(name, []).append(one)
        for pool in pools.values():
            pool.close()
    return found


class Trials:
    """Jobs that nobody has seen, and the data that all are about."""

    def __init__(self, text: str, part: int, *, foreign: bool = False) -> None:
        parsed = experiment.parse(text)
        tokens = parsed.training.max_iters * parsed.tokens_per_step
        self.held = dataset.load(parsed.data)
        self._text = text
        self._job = Job(
            model=read_model("v1"),
            experiment=text,
            data=dataset.unselected(parsed.data).sha256,
            seed=0,
            until=tokens // part,
            budget=tokens,
            gated=False,
            foreign=foreign,
        )

    def job(self, number: int) -> Job:
        """Make one that is remembered nowhere."""
        return replace(self._job, experiment=f"# {number}\n{self._text}", seed=number)


def pooled(job: Job, pool: Pool) -> Taken:
    """Run a trial."""
    start, outcome = ended(pool, replace(job, model="class", gated=True))
    assert isinstance(outcome, Rejected), outcome
    whole, outcome = ended(pool, job)
    assert isinstance(outcome, Scored), outcome
    return Taken(
        start=start,
        whole=whole,
        trained=outcome.train_seconds,
        tokens_per_second=outcome.tokens_per_second,
        loss=outcome.loss,
    )


def ended(pool: Pool, job: Job) -> tuple[float, Outcome]:
    """Run a job to its end; return the seconds that took, too."""
    began = time.perf_counter()
    pool.start("trial", job)
    while True:
        for _, outcome in pool.finished(timeout=1.0):
            return time.perf_counter() - began, outcome


def plainly(job: Job, held: dataset.Dataset, folder: Path) -> Taken:
    """Do a trial's work in one fork of this process."""
    start, _ = apart(lambda: {})
    whole, said = apart(lambda: work(job, held, folder))
    return Taken(start=start, whole=whole, **said)


def apart(do: Callable[[], dict[str, float]]) -> tuple[float, dict[str, float]]:
    """Do something in a fork; return the seconds until that has ended, and what it says."""
    began = time.perf_counter()
    reading, writing = os.pipe()
    if (pid := os.fork()) == 0:
        try:
            os.write(writing, json.dumps(do()).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as file:
        said = json.load(file)
    os.waitpid(pid, 0)
    return time.perf_counter() - began, said


def work(job: Job, held: dataset.Dataset, folder: Path) -> dict[str, float]:
    """Build, train, save and score."""
    parsed = experiment.parse(job.experiment)
    module, args = load_module(job.model), parsed.sized_for(held.vocab_size)
    cost = measure.cost(
        lambda: build_model(module, args), training=parsed.training, block_size=parsed.block_size
    )
    steps, total = cost.updates(job.until, job.unit), cost.updates(job.budget, job.unit)
    began = time.perf_counter()
    model = init.initialised(lambda: build_model(module, args), job.seed)
    batches = fit(model, Held(held), parsed, job.seed).batches
    optimizers = loop.build_optimizers(model, parsed.training)
    first = min(3, steps)  # as in a trial, whose speed is that of the updates after these
    for some in (range(first), range(first, steps)):
        training = time.perf_counter()
        loop.train(model, optimizers, batches, parsed, seed=job.seed, steps=some, total=total)
    trained = time.perf_counter()
    if steps < total:
        checkpoint.save(folder / "rung.safetensors", model, optimizers, steps)
    checkpoint.save(folder / "plain.safetensors", model, [], steps)
    saved = time.perf_counter()
    loss, _ = score.of_split(model, held.splits[job.split], block_size=parsed.block_size)
    speed = (steps - first) * cost.tokens_per_step / (trained - training)
    return {"trained": saved - began, "tokens_per_second": speed, "loss": loss}


def like_a_server(module: str) -> None:
    """Allocate memory as a trial server does, if need be by beginning again, and import as much."""
    if any(os.environ.get(name) != value for name, value in MEMORY.items()):
        threads = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
        command = [sys.executable, "-m", module, *sys.argv[1:]]
        os.execve(sys.executable, command, {**os.environ, **MEMORY, **threads})
    server.preload()


if __name__ == "__main__":
    main()
