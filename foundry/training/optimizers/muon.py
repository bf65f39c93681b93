"""Muon for the matrices inside the network, AdamW for embeddings, the head, gains and biases.

Jordan et al., "Muon: An optimizer for hidden layers in neural networks" (2024).
"""

from __future__ import annotations

import torch
from torch import nn

from foundry.training.experiment import Training
from foundry.training.optimizers import adamw
from foundry.training.optimizers._orthogonal import Muon
from foundry.training.optimizers._roles import embeddings, head


def build(model: nn.Module, training: Training) -> list[torch.optim.Optimizer]:
    """Return the optimizers that together update every trainable parameter of `model` once."""
    hidden = hidden_matrices(model)
    chosen = {id(p) for p in hidden}
    rest = adamw.over(model, (p for p in model.parameters() if id(p) not in chosen), training)
    if not hidden:
        return [rest]
    return [Muon(hidden, lr=training.muon_lr), rest]


def hidden_matrices(model: nn.Module) -> list[nn.Parameter]:
    """List the trainable matrices that neither embed tokens or positions nor predict tokens."""
    outside = embeddings(model) | head(model)
    return [p for p in model.parameters() if p.requires_grad and p.dim() == 2 and id(p) not in outside]
