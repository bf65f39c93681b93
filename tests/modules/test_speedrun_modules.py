"""Token shift and causal convolution: their formulas in numpy, and what attention needs of them."""

import numpy as np
import pytest
import torch
import torch.nn as nn

from foundry.modules.causal_conv import CausalConv
from foundry.modules.token_shift import TokenShift

WIDTH = 6


def stirred() -> CausalConv:
    conv = CausalConv(WIDTH)
    torch.nn.init.normal_(conv.weight, generator=torch.Generator().manual_seed(1))
    return conv


MODULES = {"token_shift": TokenShift(), "causal_conv": stirred(), "wide_conv": CausalConv(WIDTH, width=5)}


@pytest.fixture(params=MODULES, name="module")
def _module(request: pytest.FixtureRequest) -> nn.Module:
    return MODULES[request.param]


def tokens(length: int, width: int = WIDTH) -> torch.Tensor:
    return torch.randn(2, length, width, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("width", [1, 5, 6])
def test_token_shift_takes_the_first_half_from_the_token_before(width: int) -> None:
    x = tokens(4, width)
    half = (width + 1) // 2
    expected = x.numpy().copy()
    expected[:, 1:, :half] = x.numpy()[:, :-1, :half]
    expected[:, 0, :half] = 0
    np.testing.assert_array_equal(TokenShift()(x).numpy(), expected)


def test_causal_conv_weighs_three_tokens_per_channel() -> None:
    x, conv = tokens(5), stirred()
    taps = conv.weight.detach().numpy()[:, 0]  # (channels, 3), this token's last
    padded = np.concatenate([np.zeros((2, 2, WIDTH), dtype=np.float32), x.numpy()], axis=1)
    expected = sum(taps[:, k] * padded[:, k : k + 5] for k in range(3))
    np.testing.assert_allclose(conv(x).detach().numpy(), expected, atol=1e-6)


def test_causal_conv_starts_as_the_identity() -> None:
    assert torch.equal(CausalConv(WIDTH)(tokens(5)), tokens(5))


@pytest.mark.parametrize("length", [1, 2, 7])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_shapes_and_dtypes(module: nn.Module, length: int, dtype: torch.dtype) -> None:
    x = tokens(length).to(dtype)
    y = module.to(dtype)(x)
    module.float()
    assert y.shape == x.shape
    assert y.dtype == dtype
    assert torch.isfinite(y).all()


def test_bfloat16_agrees_with_float32(module: nn.Module) -> None:
    x = tokens(7)
    with torch.autocast("cpu", torch.bfloat16):
        low = module(x.bfloat16())
    torch.testing.assert_close(low.float(), module(x), atol=0.05, rtol=0.05)


def test_no_token_sees_a_later_one(module: nn.Module) -> None:
    x = tokens(7)
    for t in range(6):
        future = x.clone()
        future[:, t + 1 :] += 1
        assert torch.equal(module(x)[:, : t + 1], module(future)[:, : t + 1])


def test_gradients_reach_the_input_and_every_parameter(module: nn.Module) -> None:
    x = tokens(7).requires_grad_()
    module.zero_grad()
    module(x).square().sum().backward()
    for gradient in (x.grad, *(p.grad for p in module.parameters())):
        assert gradient is not None
        assert torch.isfinite(gradient).all()
        assert gradient.any()
