"""The reference classes against torch's own, and against the formulas of their papers."""

import copy

import pytest
import torch
import torch.nn as nn

from foundry.modules.layernorm import LayerNorm
from foundry.modules.rmsnorm import RMSNorm
from foundry.modules.rope import RotaryEmbedding
from foundry.modules.squared_relu import SquaredReLU


@pytest.fixture(name="x")
def _x() -> torch.Tensor:
    return torch.randn(2, 3, 5, 16, generator=torch.Generator().manual_seed(0))


def test_rmsnorm_agrees_with_torch(x: torch.Tensor) -> None:
    mine, theirs = RMSNorm(16, eps=1e-6), nn.RMSNorm(16, eps=1e-6)
    mine.weight.data = theirs.weight.data = torch.linspace(0.5, 2, 16)
    torch.testing.assert_close(mine(x), theirs(x))


@pytest.mark.parametrize("bias", [True, False])
def test_layernorm_agrees_with_torch(x: torch.Tensor, bias: bool) -> None:
    mine, theirs = LayerNorm(16, bias=bias), nn.LayerNorm(16, bias=bias)
    mine.weight.data = theirs.weight.data = torch.linspace(0.5, 2, 16)
    torch.testing.assert_close(mine(x), theirs(x))
    assert len(list(mine.parameters())) == (2 if bias else 1)


@pytest.mark.parametrize("theta", [100.0, 10000.0])
def test_rope_turns_complex_numbers(x: torch.Tensor, theta: float) -> None:
    """Element i and i + hs/2 are a complex number that position p multiplies by exp(i p theta^(-2i/hs))."""
    angles = torch.arange(5)[:, None] * theta ** (-torch.arange(8) / 8)
    turned = torch.complex(x[..., :8], x[..., 8:]) * torch.polar(torch.ones(5, 8), angles)
    expected = torch.cat((turned.real, turned.imag), dim=-1)
    torch.testing.assert_close(RotaryEmbedding(16, 32, theta)(x), expected)


def test_rope_scores_depend_on_distance_alone(x: torch.Tensor) -> None:
    rope = RotaryEmbedding(16, 64)
    q, k = x[:1, :1, :1].expand(1, 1, 64, 16), x[1:, :1, :1].expand(1, 1, 64, 16)
    scores = (rope(q) @ rope(k).transpose(-2, -1))[0, 0]
    for distance in (0, 1, 7):
        diagonal = scores.diagonal(-distance)
        torch.testing.assert_close(diagonal, diagonal[:1].expand_as(diagonal), atol=1e-4, rtol=1e-4)


def test_rope_saves_nothing_with_the_weights() -> None:
    assert RotaryEmbedding(16, 32).state_dict() == {}


def test_squared_relu(x: torch.Tensor) -> None:
    torch.testing.assert_close(SquaredReLU()(x), torch.where(x > 0, x * x, 0.0))


@pytest.mark.parametrize("module", [RMSNorm(16), LayerNorm(16), RotaryEmbedding(16, 32), SquaredReLU()])
def test_shapes_dtypes_and_gradients(module: nn.Module, x: torch.Tensor) -> None:
    low = copy.deepcopy(module).to(torch.bfloat16)(x.to(torch.bfloat16))
    assert low.shape == x.shape
    assert torch.isfinite(low).all()
    x = x.clone().requires_grad_()
    module(x).sum().backward()
    assert x.grad is not None
    assert torch.isfinite(x.grad).all()
