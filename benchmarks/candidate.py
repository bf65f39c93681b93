"""What one candidate costs before it trains: finding edits, applying one, committing, and the gates.

    python benchmarks/candidate.py

A family tree grows from v1 in one process as in a run, where a parent bears about three children: each child
is an edit of its parent drawn at random, committed to a temporary arena, and gated.
"""

from __future__ import annotations

import random
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import yaml

import operators
from foundry import gates
from foundry.cli.editing import step_of
from genome import Arena
from operators import Source

ROOT = Path(__file__).parents[1]
CANDIDATES = 90
CHILDREN = 3


def timed(action: Callable[[], Any]) -> tuple[float, Any]:
    """Run an action; return milliseconds and what it gave."""
    started = time.perf_counter()
    result = action()
    return (time.perf_counter() - started) * 1e3, result


def main() -> None:
    """Measure and print medians and 90th percentiles."""
    torch.set_num_threads(1)
    rng = random.Random(0)
    source = Source(
        (ROOT / "foundry/models/v1.py").read_text(), (ROOT / "experiments/evolve.yaml").read_text()
    )
    milliseconds: dict[str, list[float]] = {"propose": [], "apply": [], "commit": [], "gates": [], "all": []}
    with tempfile.TemporaryDirectory() as folder, Arena.create(Path(folder) / "arena") as arena:
        family = [(source, arena.plant(files(source), seed=0))]
        gate(source)  # what torch does once in a process, the trial server has done before it forks
        for number in range(1, CANDIDATES + 1):
            source, parent = family[(number - 1) // CHILDREN]
            propose, edit = timed(lambda source=source: draw(source, rng))
            apply, child = timed(lambda source=source, edit=edit: operators.apply(source, edit))
            commit, candidate = timed(
                lambda child=child, edit=edit, number=number, parent=parent: arena.commit(
                    files(child),
                    number=number,
                    generation=1,
                    parents=[parent],
                    steps=[step_of(edit)],
                    seed=0,
                )
            )
            gating, _ = timed(lambda child=child: gate(child))
            family.append((child, candidate))
            row = {"propose": propose, "apply": apply, "commit": commit, "gates": gating}
            for name, value in {**row, "all": sum(row.values())}.items():
                milliseconds[name].append(value)
    print(f"{CANDIDATES} candidates\n{'':<10}{'median':>8}{'mean':>8}{'90%':>8}  ms")
    for name, values in milliseconds.items():
        high = statistics.quantiles(values, n=10)[-1]
        print(f"{name:<10}{statistics.median(values):8.1f}{statistics.fmean(values):8.1f}{high:8.1f}")


def draw(source: Source, rng: random.Random) -> operators.Edit:
    """Draw an operator of those that find something, then one of its edits; only those drawn are asked."""
    names = sorted(operators.load())
    while True:
        name = names.pop(rng.randrange(len(names)))
        if edits := operators.lookup(name).sites(source):
            return rng.choice(edits)


def files(source: Source) -> dict[str, str]:
    """A program as the arena takes it."""
    return {"model.py": source.model, "experiment.yaml": source.experiment}


def gate(source: Source) -> None:
    """Gate a program at the size its experiment gives."""
    body = yaml.safe_load(source.experiment)
    subject = gates.Subject(
        source=source.model,
        model_args={**body["model_args"], "vocab_size": 63},
        batch_size=body["training"]["batch_size"],
    )
    failure = gates.check(subject)
    if failure:
        print(f"rejected: {failure.gate}: {failure.reason}")


if __name__ == "__main__":
    main()
