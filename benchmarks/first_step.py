"""Seconds from an experiment's file to its first update done, in a process that has torch imported.

python benchmarks/first_step.py
"""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

import torch

from foundry.cli.prepared import prepare, read_text
from foundry.data import dataset
from foundry.training.session import Session

ROOT = Path(__file__).parents[1]
EXPERIMENT = str(ROOT / "experiments" / "baseline.yaml")
RUNS = 6


def main() -> None:
    """Measure and print; the first run pays for what torch does once in a process, and does not count."""
    torch.set_num_threads(1)
    seconds = [one_start() for _ in range(RUNS)][1:]
    print(f"first update done after {statistics.median(seconds):.2f} s, at most {max(seconds):.2f} s")


def one_start() -> float:
    """Read everything afresh and do one update."""
    dataset.load.cache_clear()
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        ready = prepare(read_text(EXPERIMENT), EXPERIMENT)
        session = Session(ready.experiment, ready.model, ready.dataset, Path(folder), seed=0)
        next(session.updates())
        return time.perf_counter() - started


if __name__ == "__main__":
    main()
