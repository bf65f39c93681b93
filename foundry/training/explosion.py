"""Stop a training whose loss is finite but beyond hope: its later checkpoints would be worth nothing."""

from __future__ import annotations

import torch
from torch import nn

from foundry.data.batches import Batches
from foundry.training.experiment import Experiment
from foundry.training.loop import DivergedError

FACTOR = 2.0  # times the loss of guessing: no training that still learns is there
PATIENCE = 20  # updates in a row; single spikes are common and heal


class Explosion:
    """Count the updates in a row, after warm-up, whose loss is above FACTOR times `base`."""

    def __init__(self, base: float, warmup_iters: int) -> None:
        self.limit = FACTOR * base
        self.warmup_iters = warmup_iters
        self.count = 0

    @property
    def near(self) -> bool:
        """Whether the last loss was above the limit, so that the model is not one to keep."""
        return self.count > 0

    def check(self, step: int, loss: float) -> None:
        """Take note of the loss of the update `step`.

        Raises:
            DivergedError: it is above the limit, as it was in the PATIENCE - 1 updates before.
        """
        above = step >= self.warmup_iters and loss > self.limit
        self.count = self.count + 1 if above else 0
        if self.count == PATIENCE:
            raise DivergedError(step, f"was above {self.limit:.2f} for {PATIENCE} updates in a row")


@torch.no_grad()
def starting_loss(model: nn.Module, batches: Batches, experiment: Experiment, seed: int) -> float:
    """Return the loss before any update, by the model's own measure, on sequences of the first batch."""
    inputs, targets = batches.draw(
        seed=seed,
        step=0,
        total=experiment.training.max_iters,
        batch_size=experiment.training.batch_size,
        block_size=experiment.block_size,
    )
    device = next(model.parameters()).device
    model.eval()
    loss: float = model(inputs.to(device), targets.to(device))[1].item()
    return loss
