"""Warm-up, then linear down to min_lr at the end."""

from __future__ import annotations

from foundry.training.experiment import Training
from foundry.training.schedules._warmup import warmup


def factor(step: int, total: int, training: Training) -> float:
    """Return the part of the full learning rate at `step` of `total` updates."""
    floor = min(1.0, training.min_lr / training.learning_rate)
    remaining = (total - step) / max(1, total - training.warmup_iters)
    return min(warmup(step, training), floor + (1.0 - floor) * remaining)
