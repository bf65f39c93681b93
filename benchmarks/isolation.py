"""What isolation costs: trials under each level of the sandbox beside the same work done in this process.

    python benchmarks/isolation.py

Three figures, medians over rounds in which all levels take turns: the start of a trial that is over at once
(its source is no Python), its training in tokens per second, and a whole trial of the first rung, gates left
out, against building, training, saving and scoring the same model here, with the data in this process.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import torch

from foundry.data import dataset
from foundry.data.material import Held
from foundry.sandbox import level
from foundry.seed import read_model
from foundry.source import build_model, load_module
from foundry.training import checkpoint, experiment, init, loop, measure, score
from foundry.training.fitting import fit
from foundry.trial.job import Job, Limits
from foundry.trial.outcome import Outcome, Rejected, Scored
from foundry.trial.pool import Pool

HERE = Path(__file__).parents[1]
PLAIN = "none"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--experiment", default=str(HERE / "experiments" / "evolve.yaml"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    text = Path(options.experiment).read_text("utf-8")
    parsed = experiment.parse(text)
    tokens = parsed.training.max_iters * parsed.tokens_per_step
    job = Job(
        model=read_model("v1"),
        experiment=text,
        data=dataset.unselected(parsed.data).sha256,
        seed=0,
        until=tokens // 9,
        budget=tokens,
        gated=False,
    )
    with tempfile.TemporaryDirectory() as folder:
        pools = {
            name: Pool(1, checkpoints=Path(folder, name), limits=Limits(), preload=text, sandbox=name)
            for name in level.available()
        }
        starts, speeds, wholes = measured(pools, job, Path(folder), options.rounds)
        for pool in pools.values():
            pool.close()
    print(f"{'level':>10} {'start ms':>9} {'tokens/s':>9} {'ratio':>6} {'trial s':>8} {'ratio':>6}")
    for name in (PLAIN, *pools):
        start = f"{1e3 * starts[name]:9.1f}" if name in starts else " " * 9
        faster, longer = speeds[name] / speeds[PLAIN], wholes[name] / wholes[PLAIN]
        print(f"{name:>10} {start} {speeds[name]:9.0f} {faster:6.3f} {wholes[name]:8.3f} {longer:6.3f}")


def measured(
    pools: dict[str, Pool], job: Job, folder: Path, rounds: int
) -> tuple[dict[str, float], dict[str, float], dict[str, float]]:
    """Return medians by level: seconds to start, tokens per second, seconds of a whole trial."""
    starts: dict[str, list[float]] = {name: [] for name in pools}
    speeds: dict[str, list[float]] = {name: [] for name in (PLAIN, *pools)}
    wholes: dict[str, list[float]] = {name: [] for name in (PLAIN, *pools)}
    for pool in pools.values():  # the first trial of a pool waits for its server
        ended(pool, replace(job, until=1))
    for number in range(rounds):
        for name, pool in pools.items():
            took, outcome = ended(pool, replace(job, model="class", gated=True, seed=number))
            assert isinstance(outcome, Rejected), outcome
            starts[name].append(took)
            took, outcome = ended(pool, replace(job, seed=number))
            assert isinstance(outcome, Scored), outcome
            wholes[name].append(took)
            speeds[name].append(outcome.tokens_per_second)
        loss, seconds, speed = plainly(replace(job, seed=number), folder)
        assert loss == outcome.loss, "the same work has the same score"
        wholes[PLAIN].append(seconds)
        speeds[PLAIN].append(speed)
    return medians(starts), medians(speeds), medians(wholes)


def medians(found: dict[str, list[float]]) -> dict[str, float]:
    """Return the median of each."""
    return {name: statistics.median(values) for name, values in found.items()}


def ended(pool: Pool, job: Job) -> tuple[float, Outcome]:
    """Run a job to its end; return the seconds that took, too."""
    began = time.perf_counter()
    pool.start("trial", job)
    while True:
        for _, outcome in pool.finished(timeout=1.0):
            return time.perf_counter() - began, outcome


def plainly(job: Job, folder: Path) -> tuple[float, float, float]:
    """Do a trial's work in this process; return its loss, its seconds and its tokens per second."""
    began = time.perf_counter()
    parsed = experiment.parse(job.experiment)
    data = dataset.load(parsed.data)
    module, args = load_module(job.model), parsed.sized_for(data.vocab_size)
    cost = measure.cost(
        lambda: build_model(module, args), training=parsed.training, block_size=parsed.block_size
    )
    steps, total = cost.updates(job.until, job.unit), cost.updates(job.budget, job.unit)
    model = init.initialised(lambda: build_model(module, args), job.seed)
    batches = fit(model, Held(data), parsed, job.seed).batches
    optimizers = loop.build_optimizers(model, parsed.training)
    training = time.perf_counter()
    loop.train(model, optimizers, batches, parsed, seed=job.seed, steps=range(steps), total=total)
    trained = time.perf_counter()
    checkpoint.save(folder / "plain.safetensors", model, optimizers, steps)
    loss, _ = score.of_split(model, data.splits[job.split], block_size=parsed.block_size)
    ended_at = time.perf_counter()
    return loss, ended_at - began, steps * cost.tokens_per_step / (trained - training)


if __name__ == "__main__":
    main()
