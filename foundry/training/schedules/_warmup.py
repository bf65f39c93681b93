"""The linear warm-up that every schedule begins with."""

from __future__ import annotations

from foundry.training.experiment import Training


def warmup(step: int, training: Training) -> float:
    """Return the part of the full rate at `step`, (step + 1) / (warmup_iters + 1), at most 1."""
    return min(1.0, (step + 1) / (training.warmup_iters + 1))
