"""Warmup, stable, decay: constant until the last `decay_fraction`, then linear down to min_lr.

Hu et al., "MiniCPM" (2024). A training that stops before the decay can be resumed for longer without regret,
which is why the search uses it.
"""

from __future__ import annotations

from foundry.training.experiment import Training
from foundry.training.schedules._warmup import warmup


def factor(step: int, total: int, training: Training) -> float:
    """Return the part of the full learning rate at `step` of `total` updates."""
    floor = min(1.0, training.min_lr / training.learning_rate)
    decay_steps = max(1, round(total * training.decay_fraction))
    remaining = min(1.0, (total - step) / decay_steps)
    return min(warmup(step, training), floor + (1.0 - floor) * remaining)
