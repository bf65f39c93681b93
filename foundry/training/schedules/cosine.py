"""Warm-up, then half a cosine down to min_lr at `lr_decay_iters`, as nanoGPT trains.

Loshchilov and Hutter, "SGDR" (2017).
"""

from __future__ import annotations

import math

from foundry.training.experiment import Training
from foundry.training.schedules._warmup import warmup


def factor(step: int, total: int, training: Training) -> float:
    """Return the part of the full learning rate at `step` of `total` updates."""
    if step < training.warmup_iters:
        return warmup(step, training)
    end = training.lr_decay_iters or total
    progress = min(1.0, (step - training.warmup_iters) / max(1, end - training.warmup_iters))
    floor = min(1.0, training.min_lr / training.learning_rate)
    return floor + (1.0 - floor) * 0.5 * (1.0 + math.cos(math.pi * progress))
