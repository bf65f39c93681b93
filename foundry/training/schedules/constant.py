"""Warm-up, then the full rate to the end."""

from __future__ import annotations

from foundry.training.experiment import Training
from foundry.training.schedules._warmup import warmup


def factor(step: int, total: int, training: Training) -> float:
    """Return the part of the full learning rate at `step` of `total` updates."""
    return warmup(step, training)
