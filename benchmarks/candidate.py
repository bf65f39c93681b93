"""What one candidate costs before it trains: finding edits, applying one, committing, and the gates.

    python benchmarks/candidate.py

Every edit of the seed model v1 is made, committed to a temporary arena and gated once, in one warm process.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
import yaml

import operators
from foundry import gates
from genome import Arena
from operators import Source

ROOT = Path(__file__).parents[1]


def timed(action: Callable[[], object]) -> tuple[float, object]:
    """Run an action; return milliseconds and what it gave."""
    started = time.perf_counter()
    result = action()
    return (time.perf_counter() - started) * 1e3, result


def main() -> None:
    """Measure and print medians and 90th percentiles."""
    torch.set_num_threads(1)
    source = Source(
        (ROOT / "foundry/models/v1.py").read_text(), (ROOT / "experiments/evolve.yaml").read_text()
    )
    files = {"model.py": source.model, "experiment.yaml": source.experiment}
    milliseconds: dict[str, list[float]] = {"propose": [], "apply": [], "commit": [], "gates": [], "all": []}
    with tempfile.TemporaryDirectory() as folder, Arena.create(Path(folder) / "arena") as arena:
        parent = arena.plant(files, seed=0)
        gate(source)  # what torch does once in a process, the trial server has done before it forks
        for number, edit in enumerate(operators.proposals(source), 1):
            operators_forget()
            propose, _ = timed(lambda: operators.proposals(source))
            apply, child = timed(lambda edit=edit: operators.apply(source, edit))
            assert isinstance(child, Source)
            commit, _ = timed(
                lambda child=child, edit=edit, number=number: arena.commit(
                    {"model.py": child.model, "experiment.yaml": child.experiment},
                    number=number,
                    generation=1,
                    parents=[parent],
                    words=operators.words(edit),
                    operator=edit.operator,
                    variant=edit.variant,
                    site=edit.site,
                    seed=0,
                )
            )
            gating, _ = timed(lambda child=child: gate(child))
            row = {"propose": propose, "apply": apply, "commit": commit, "gates": gating}
            for name, value in {**row, "all": sum(row.values())}.items():
                milliseconds[name].append(value)
    print(f"{len(milliseconds['all'])} candidates\n{'':<10}{'median':>8}{'90%':>8}  ms")
    for name, values in milliseconds.items():
        print(f"{name:<10}{statistics.median(values):8.1f}{statistics.quantiles(values, n=10)[-1]:8.1f}")


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


def operators_forget() -> None:
    """Empty the caches of parsed sources: each candidate has another parent."""
    for name, module in sorted(sys.modules.items()):
        if name.startswith("operators."):
            for function in vars(module).values():
                if hasattr(function, "cache_clear"):
                    function.cache_clear()


if __name__ == "__main__":
    main()
