"""AdamW with decay on tensors of two dimensions or more, in torch's fused form.

Loshchilov and Hutter, "Decoupled Weight Decay Regularization" (2019).
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn

from foundry.training import eager
from foundry.training.experiment import Training
from foundry.training.optimizers._roles import rate_factors

AdamW = eager.optimizer(torch.optim.AdamW)


def build(model: nn.Module, training: Training) -> list[torch.optim.Optimizer]:
    """Return the optimizers that together update every trainable parameter of `model` once."""
    return [over(model, model.parameters(), training)]


def over(model: nn.Module, parameters: Iterable[nn.Parameter], training: Training) -> torch.optim.AdamW:
    """Return AdamW over some parameters of a model, decayed or not by their dimensions.

    Embeddings and the head have learning rates of their own where the experiment says so.
    """
    factors = rate_factors(model, training)
    groups: dict[tuple[float, bool], list[nn.Parameter]] = {}
    for p in parameters:
        if p.requires_grad:
            groups.setdefault((factors.get(id(p), 1.0), p.dim() >= 2), []).append(p)
    ordered = sorted(groups, key=lambda key: (key[0] != 1.0, key[0], not key[1]))
    return AdamW(
        [
            {
                "params": groups[factor, decays],
                "lr": training.learning_rate * factor,
                "weight_decay": training.weight_decay if decays else 0.0,
            }
            for factor, decays in ordered
        ],
        lr=training.learning_rate,
        betas=(training.beta1, training.beta2),
        fused=True,
    )
