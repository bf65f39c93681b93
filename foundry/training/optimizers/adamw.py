"""AdamW with decay on tensors of two dimensions or more, in torch's fused form.

Loshchilov and Hutter, "Decoupled Weight Decay Regularization" (2019).
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn

from foundry.training.experiment import Training


def build(model: nn.Module, training: Training) -> list[torch.optim.Optimizer]:
    """Return the optimizers that together update every trainable parameter of `model` once."""
    return [over(model.parameters(), training)]


def over(parameters: Iterable[nn.Parameter], training: Training) -> torch.optim.AdamW:
    """Return AdamW over some parameters, decayed or not by their dimensions."""
    trainable = [p for p in parameters if p.requires_grad]
    groups = [
        {"params": [p for p in trainable if p.dim() >= 2], "weight_decay": training.weight_decay},
        {"params": [p for p in trainable if p.dim() < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(
        [group for group in groups if group["params"]],
        lr=training.learning_rate,
        betas=(training.beta1, training.beta2),
        fused=True,
    )
