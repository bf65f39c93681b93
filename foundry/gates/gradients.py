"""Gradients: always finite, and for every trainable parameter not zero everywhere.

Zero-initialised projections rightly give no gradient to what lies behind them at the first step, and a
router may leave an expert idle. So what gets none at initialisation has a few more chances, with noise on
every parameter; what still gets none is not used at all.
"""

from __future__ import annotations

import torch
from torch import nn

from foundry.gates.subject import Subject, stir

ORDER = 90
CHANCES = 4


def examine(subject: Subject) -> str | None:
    model = subject.fresh().train()
    idle = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    for chance in range(1 + CHANCES):
        if chance:
            model = stir(subject.fresh(), seed=chance).train()
        _backward(subject, model)
        for name, parameter in model.named_parameters():
            if parameter.grad is None:
                continue
            if not parameter.grad.isfinite().all():
                return f"the gradient of {name} is not finite" + ("" if chance else " at initialisation")
            if parameter.grad.any():
                idle.discard(name)
        if not idle:
            return None
    name = next(name for name, _ in model.named_parameters() if name in idle)
    if model.get_parameter(name).grad is None:
        return f"{name} gets no gradient: the loss does not depend on it"
    return f"the gradient of {name} is zero everywhere"


def _backward(subject: Subject, model: nn.Module) -> None:
    idx = subject.tokens(8, subject.block_size)  # enough tokens to reach every position
    torch.default_generator.manual_seed(0)
    _, loss = model(idx, subject.others(idx))
    loss.backward()
