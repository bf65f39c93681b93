"""Small batches first, with as many tokens: early steps are several updates, each of fewer sequences.

McCandlish et al., "An Empirical Model of Large-Batch Training" (2018): the batch that pays grows as the loss
falls.
"""

from __future__ import annotations

from foundry.training.experiment import Training

STAGES = ((0.2, 1), (0.4, 2))  # until this part of training, the ramp's number divided by so much


def updates(progress: float, training: Training) -> int:
    """Return how many updates a step is when so much of the training is done, from 0 to 1.

    A divisor of the batch size, so that all are alike.
    """
    wanted = next((training.batch_ramp // by for until, by in STAGES if progress < until), 1)
    while wanted > 1 and training.batch_size % wanted:
        wanted -= 1
    return max(1, wanted)


def mean_updates(training: Training) -> float:
    """Return how many updates a step is on average over a training."""
    total, begun = 0.0, 0.0
    for until in (*(until for until, _ in STAGES), 1.0):
        total += (until - begun) * updates(begun, training)
        begun = until
    return total
