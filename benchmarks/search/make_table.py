"""Train every architecture of the space with every seed, once, and write what came out as a table.

    python -m benchmarks.search.make_table --out table.json.gz

About an hour on one core. Each training adds a line to FILE.partial, from which an interrupted run goes on.
The seeds come one after the other, and after each FILE is a whole table of those so far: the lines in order,
with floats rounded to 6 decimals.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import platform
import statistics
import subprocess
import sys
import time
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from benchmarks.search import space
from benchmarks.search.space import SCORED_TOKENS, SEEDS, STEPS, Point
from foundry.data import dataset
from foundry.errors import UserError
from foundry.source import build_model, load_module
from foundry.training import experiment, init, loop, measure, score

ABOUT = (
    "Losses in nats per character of v1 and its mutants, each trained from scratch as a trial of a search "
    "is. A score is the mean over the first scored_tokens targets of a split, not the whole split. seconds "
    "are of CPU time, on a machine that others used as well. A point's values stand in the order of factors."
)


class Training:
    """One training as a trial does it: keyed initialisation and, at one seed, the same batches for all."""

    def __init__(self, point: Point, seed: int) -> None:
        source = space.source(point)
        self.experiment = experiment.parse(source.experiment)
        self.dataset = dataset.load(self.experiment.data)
        self.seed = seed
        self.step = 0
        module, args = _module(source.model), model_args(self.experiment, self.dataset)
        self.model = init.initialised(lambda: build_model(module, args), seed)
        self.optimizers = loop.build_optimizers(self.model, self.experiment.training)

    def advance(self, step: int) -> None:
        """Train until `step` updates are done, of a schedule that ends at the last rung."""
        loop.train(
            self.model,
            self.optimizers,
            self.dataset.batches(),
            self.experiment,
            seed=self.seed,
            steps=range(self.step, step),
            total=STEPS[-1],
        )
        self.step = step

    def score(self, split: str) -> float:
        """Return nats per token over the start of a split."""
        tokens = self.dataset.splits[split].tokens[: SCORED_TOKENS + 1]
        return score.cross_entropy(self.model, tokens, block_size=self.experiment.block_size)


def model_args(settings: experiment.Experiment, data: dataset.Dataset) -> dict[str, object]:
    """Return the arguments of the model's configuration."""
    return {**settings.model_args, "vocab_size": data.vocab_size}


@cache
def _module(model: str) -> ModuleType:
    return load_module(model)


def cost(point: Point) -> tuple[int, int]:
    """Count parameters, and FLOPs of one update."""
    source = space.source(point)
    settings = experiment.parse(source.experiment)
    module, args = _module(source.model), model_args(settings, dataset.load(settings.data))
    counted = measure.cost(
        lambda: build_model(module, args), training=settings.training, block_size=settings.block_size
    )
    return counted.params, counted.flops_per_step


def line(point: Point, seed: int) -> dict[str, Any]:
    """Train and score one architecture with one seed."""
    training = Training(point, seed)
    search, seconds = [], 0.0
    for step in STEPS:
        started = time.process_time()
        training.advance(step)
        seconds += time.process_time() - started
        search.append(training.score("val_search"))
    return {
        "point": space.label(point),
        "seed": seed,
        "seconds": seconds,
        "search": search,
        "confirm": training.score("val_confirm"),
        "test": training.score("test"),
    }


def circumstances() -> dict[str, object]:
    """Say what the numbers depend on, and where they were made."""
    programs = hashlib.sha256()
    for point in space.architectures():
        made = space.source(point)
        programs.update(f"{made.model}\0{made.experiment}\0".encode())
    root = Path(__file__).parents[2]
    commit = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=root, capture_output=True, text=True, check=True
    )
    data = dataset.load(experiment.parse(space.EXPERIMENT).data)
    return {
        "programs_sha256": programs.hexdigest(),
        "data": data.name,
        "data_sha256": data.sha256,
        "scored_sha256": {
            split: hashlib.sha256(data.splits[split].tokens[: SCORED_TOKENS + 1].tobytes()).hexdigest()
            for split in ("val_search", "val_confirm", "test")
        },
        "torch": torch.__version__,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "processor": processor(),
        "threads": 1,
        "commit": commit.stdout.strip(),
    }


def processor() -> str:
    """Return the processor's name where Linux tells it."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def resume(partial: Path, made: dict[str, object]) -> tuple[dict[str, object], list[dict[str, Any]]]:
    """Read what an earlier run left, or begin; return where that was made, and its lines.

    Raises:
        UserError: the earlier run trained other programs, or on other data or another torch.
    """
    if not partial.exists():
        partial.write_text(json.dumps(made) + "\n")
    text = partial.read_text()
    whole = text[: text.rfind("\n") + 1]
    if whole != text:  # stopped while writing its last line
        partial.write_text(whole)
    first, *rest = (json.loads(line) for line in whole.splitlines())
    for name in ("programs_sha256", "data_sha256", "torch"):
        if first[name] != made[name]:
            raise UserError(f"{partial} was made with another {name}; remove it or choose another --out")
    return first, rest


def write(
    out: Path, made: dict[str, object], lines: list[dict[str, Any]], costs: dict[Point, tuple[int, int]]
) -> None:
    """Write the table of the seeds that are whole: one row per architecture, in the order of the space."""
    by_key = {(line["point"], line["seed"]): line for line in lines}
    names = [space.label(point) for point in costs]
    seeds = [seed for seed in SEEDS if all((name, seed) in by_key for name in names)]
    rows = []
    for name, (params, flops) in zip(names, costs.values(), strict=True):
        trained = [by_key[name, seed] for seed in seeds]
        rows.append(
            {
                "point": name,
                "params": params,
                "flops_per_step": flops,
                "seconds": round(statistics.median(line["seconds"] for line in trained), 3),
                "search": [[round(loss, 6) for loss in line["search"]] for line in trained],
                "confirm": [round(line["confirm"], 6) for line in trained],
                "test": [round(line["test"], 6) for line in trained],
            }
        )
    body = {
        "about": ABOUT,
        "made": made,
        "factors": {name: list(values) for name, values in space.FACTORS.items()},
        "steps": STEPS,
        "seeds": seeds,
        "scored_tokens": SCORED_TOKENS,
        "experiment": space.EXPERIMENT,
        "rows": rows,
    }
    out.write_bytes(gzip.compress(json.dumps(body).encode(), mtime=0))


def main(arguments: list[str]) -> None:
    """Train what is missing, writing the table after every seed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, metavar="FILE")
    out: Path = parser.parse_args(arguments).out
    torch.set_num_threads(1)
    partial = out.with_name(out.name + ".partial")
    made, lines = resume(partial, circumstances())
    done = {(line["point"], line["seed"]) for line in lines}
    costs = {point: cost(point) for point in space.architectures()}
    for seed in SEEDS:
        missing = [point for point in costs if (space.label(point), seed) not in done]
        for number, point in enumerate(missing, 1):
            lines.append(line(point, seed))
            with partial.open("a") as file:
                print(json.dumps(lines[-1]), file=file)
            loss, name = lines[-1]["search"][-1], lines[-1]["point"]
            print(f"seed {seed}, {number}/{len(missing)}: {loss:.4f} {name}", flush=True)
        write(out, made, lines, costs)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except UserError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
