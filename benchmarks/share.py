"""Of the workers' time in a run, the share that went into building and training models.

    python benchmarks/share.py runs/evolve

Each trial reports its own seconds and those of building and training; the rest is gates, counting FLOPs and
scoring. What lies between trials shows in how many workers were busy on average.
"""

from __future__ import annotations

import sys

from foundry.cli.run import LEDGER
from foundry.trial.outcome import Scored
from genome import Arena
from population.ledger import Ledger


def main(path: str) -> None:
    """Read a ledger and print."""
    with Arena.open(path) as arena, Ledger.read(arena.state / LEDGER) as ledger:
        scored = [outcome for _, _, outcome in ledger.outcomes() if isinstance(outcome, Scored)]
        elapsed = ledger.seconds()
    whole = sum(outcome.seconds for outcome in scored)
    training = sum(outcome.train_seconds for outcome in scored)
    print(f"{len(scored)} scored trials: {whole:.0f} s of work, {training:.0f} s in training")
    print(f"training: {training / whole:.1%} of the trials' time")
    print(f"workers busy on average: {whole / elapsed:.2f} over {elapsed / 60:.1f} minutes")
    print(f"peak memory of a trial: {max(outcome.peak_memory for outcome in scored) / 2**20:.0f} MiB")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "runs/evolve")
