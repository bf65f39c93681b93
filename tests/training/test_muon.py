"""Our Muon against torch's, which iterates in bfloat16, and against the singular value decomposition."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from foundry.training.optimizers._orthogonal import Muon, orthogonalised


@pytest.mark.parametrize("shape", [(8, 8), (24, 8), (8, 24)])
def test_singular_values_come_near_one_and_directions_stay(shape: tuple[int, int]) -> None:
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    u, _, vh = torch.linalg.svd(matrix, full_matrices=False)
    result = orthogonalised(matrix)
    values = torch.linalg.svdvals(result)
    assert values.min() > 0.6
    assert values.max() < 1.3
    inner = u.mT @ result @ vh.mT  # diagonal, if singular vectors are kept
    assert (inner - torch.diag(inner.diagonal())).abs().max() < 1e-4


@pytest.mark.parametrize("shape", [(16, 16), (48, 16), (16, 48)])
def test_three_steps_equal_torchs_up_to_bfloat16(shape: tuple[int, int]) -> None:
    generator = torch.Generator().manual_seed(1)
    start = torch.randn(shape, generator=generator)
    gradients = [torch.randn(shape, generator=generator) for _ in range(3)]
    results = []
    for kind, extra in ((Muon, {}), (torch.optim.Muon, {"weight_decay": 0.0})):
        parameter = nn.Parameter(start.clone())
        optimizer = kind([parameter], lr=0.02, momentum=0.95, **extra)
        for gradient in gradients:
            parameter.grad = gradient.clone()
            optimizer.step()
        results.append(parameter.detach() - start)
    assert (results[0] - results[1]).norm() / results[1].norm() < 0.02


def test_a_zero_gradient_moves_nothing() -> None:
    parameter = nn.Parameter(torch.ones(4, 4))
    parameter.grad = torch.zeros(4, 4)
    Muon([parameter], lr=0.02).step()
    assert torch.equal(parameter, torch.ones(4, 4))
