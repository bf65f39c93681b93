"""The Muon update in the parameters' own precision.

torch.optim.Muon iterates in bfloat16, which processors without matrix units for it do more slowly than
float32: at the CPU recipe a step took 38 ms with it and 20 ms with this. The mathematics is the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from foundry.training import eager
from foundry.training.distributed import shared_like, whole

_A, _B, _C = 3.4445, -4.7750, 2.0315  # quintic that lifts small singular values fast (Jordan et al., 2024)


@eager.optimizer
class Muon(torch.optim.Optimizer):
    """Momentum whose update is the nearest orthogonal matrix, scaled by sqrt(max(1, rows / columns))."""

    def __init__(self, parameters: Iterable[nn.Parameter], lr: float, momentum: float = 0.95) -> None:
        super().__init__(parameters, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:  # type: ignore[override]
        """Update every parameter that has a gradient; `closure` is not used."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._update(parameter, group["lr"], group["momentum"])

    def _update(self, parameter: nn.Parameter, lr: float, momentum: float) -> None:
        assert parameter.grad is not None
        state = self.state[parameter]
        if not state:
            state["momentum_buffer"] = torch.zeros_like(parameter)
        buffer = state["momentum_buffer"].lerp_(parameter.grad, 1 - momentum)
        update = orthogonalised(whole(parameter.grad.lerp(buffer, momentum)))  # Nesterov
        update = shared_like(update, parameter)
        parameter.add_(update, alpha=-lr * max(1.0, parameter.size(0) / parameter.size(1)) ** 0.5)


def orthogonalised(matrix: Tensor, steps: int = 5) -> Tensor:
    """Bring all singular values of a matrix (m, n) near 1 by Newton-Schulz iterations.

    An iteration multiplies x by the polynomial q of its Gram matrix g, which becomes q g q. So the product of
    all the q can be formed in the smaller dimension first, and x, four times as long in a feed-forward, is
    touched twice instead of ten times.
    """
    x = matrix.mT if matrix.size(0) > matrix.size(1) else matrix
    x = x / x.norm().clamp(min=1e-7)
    gram = x @ x.mT  # (min(m, n), min(m, n))
    product = _polynomial(gram)
    factor = product
    for _ in range(steps - 1):
        gram = factor @ (factor @ gram)
        factor = _polynomial(gram)
        product = factor @ product
    result: Tensor = product @ x
    return result.mT if matrix.size(0) > matrix.size(1) else result


def _polynomial(gram: Tensor) -> Tensor:
    """Return a I + b g + c g g."""
    result: Tensor = torch.addmm(gram, gram, gram, beta=_B, alpha=_C)
    result.diagonal().add_(_A)
    return result
