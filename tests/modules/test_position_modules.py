"""The modules that tell attention where tokens stand, against their papers' formulas spelled out in numpy."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch
import torch.nn as nn
from numpy.typing import NDArray
from torch.nn import functional as F

from foundry.modules.alibi import ALiBi
from foundry.modules.partial_rope import PartialRotaryEmbedding
from foundry.modules.relative_bias import RelativeBias
from foundry.modules.rope import RotaryEmbedding

HEADS, LENGTH, WIDTH = 4, 6, 16
Array = NDArray[np.float64]


@pytest.fixture(name="x")
def _x() -> torch.Tensor:
    return torch.randn(2, HEADS, LENGTH, WIDTH, generator=torch.Generator().manual_seed(0))


def learned(heads: int = HEADS, positions: int = 8) -> RelativeBias:
    """A relative bias that has learned something."""
    module = RelativeBias(heads, positions)
    nn.init.normal_(module.table, generator=torch.Generator().manual_seed(1))
    return module


def alibi_by_loops(heads: int, length: int) -> Array:
    """-m (i - j) for a key j not after the query i, with the slopes m that the paper gives."""
    bias = np.full((1, heads, length, length), -np.inf)
    for h in range(heads):
        slope = 1 / 2 ** (8 * (h + 1) / heads)
        for i in range(length):
            for j in range(i + 1):
                bias[0, h, i, j] = -slope * (i - j)
    return bias


def relative_by_loops(table: Array, length: int) -> Array:
    bias = np.full((1, table.shape[1], length, length), -np.inf)
    for i in range(length):
        for j in range(i + 1):
            bias[0, :, i, j] = table[0, :, i - j]
    return bias


@pytest.mark.parametrize("heads", [1, 2, 3, 4, 6, 8])
def test_alibi_is_the_papers_formula(heads: int) -> None:
    bias = ALiBi(heads, 10)(torch.zeros(2, heads, LENGTH, WIDTH))
    np.testing.assert_allclose(bias.numpy(), alibi_by_loops(heads, LENGTH), rtol=1e-6)


def test_eight_heads_have_the_slopes_that_the_paper_prints() -> None:
    assert ALiBi(8, 2).slopes.flatten().tolist() == [1 / 2**n for n in range(1, 9)]


def test_relative_bias_looks_distances_up(x: torch.Tensor) -> None:
    module = learned()
    expected = relative_by_loops(module.table.detach().double().numpy(), LENGTH)
    np.testing.assert_allclose(module(x).detach().numpy(), expected, rtol=1e-6)


@pytest.mark.parametrize("module", [ALiBi(HEADS, 8), learned()], ids=["alibi", "relative_bias"])
def test_attention_with_a_bias_agrees_with_numpy(module: nn.Module, x: torch.Tensor) -> None:
    q, k, v = x, x.flip(1), x.roll(1, -1)
    with torch.no_grad():
        mine = F.scaled_dot_product_attention(q, k, v, attn_mask=module(q))
        bias = module(q).double().numpy()
    scores = q.double().numpy() @ k.double().numpy().swapaxes(-2, -1) / math.sqrt(WIDTH) + bias
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    expected = weights / weights.sum(-1, keepdims=True) @ v.double().numpy()
    np.testing.assert_allclose(mine.numpy(), expected, atol=1e-5)


def test_an_untrained_relative_bias_is_plain_causal_attention(x: torch.Tensor) -> None:
    biased = F.scaled_dot_product_attention(x, x, x, attn_mask=RelativeBias(HEADS, 8)(x))
    torch.testing.assert_close(biased, F.scaled_dot_product_attention(x, x, x, is_causal=True))


@pytest.mark.parametrize("module", [ALiBi(HEADS, 8), learned()], ids=["alibi", "relative_bias"])
def test_a_bias_hides_what_comes_after(module: nn.Module, x: torch.Tensor) -> None:
    later = x.clone()
    later[:, :, 4:] += 1
    with torch.no_grad():
        before, after = (
            F.scaled_dot_product_attention(y, y, y, attn_mask=module(y))[:, :, :4] for y in (x, later)
        )
    torch.testing.assert_close(before, after)


@pytest.mark.parametrize("module", [ALiBi(HEADS, 8), learned()], ids=["alibi", "relative_bias"])
def test_a_longer_context_begins_as_a_shorter_one(module: nn.Module, x: torch.Tensor) -> None:
    torch.testing.assert_close(module(x)[..., :3, :3], module(x[:, :, :3]))


def test_every_distance_seen_learns(x: torch.Tensor) -> None:
    module = RelativeBias(HEADS, 8)
    F.scaled_dot_product_attention(x, x, x, attn_mask=module(x)).square().sum().backward()
    assert module.table.grad is not None
    assert torch.isfinite(module.table.grad).all()
    assert (module.table.grad[..., :LENGTH] != 0).all()
    assert (module.table.grad[..., LENGTH:] == 0).all()


@pytest.mark.parametrize("rotary_dim", [4, 8, 16])
def test_partial_rope_turns_complex_numbers_and_leaves_the_rest(x: torch.Tensor, rotary_dim: int) -> None:
    half = rotary_dim // 2
    angles = np.arange(LENGTH)[:, None] * 100.0 ** (-np.arange(half) / half)
    given = x.double().numpy()
    turned = (given[..., :half] + 1j * given[..., half:rotary_dim]) * np.exp(1j * angles)
    expected = np.concatenate((turned.real, turned.imag, given[..., rotary_dim:]), axis=-1)
    mine = PartialRotaryEmbedding(rotary_dim, 8, theta=100.0)(x)
    np.testing.assert_allclose(mine.numpy(), expected, atol=1e-5)


def test_partial_rope_of_whole_heads_is_rope(x: torch.Tensor) -> None:
    torch.testing.assert_close(PartialRotaryEmbedding(WIDTH, 8)(x), RotaryEmbedding(WIDTH, 8)(x))


@pytest.mark.parametrize("rotary_dim", [1, 5])
def test_an_odd_part_is_rounded_down(x: torch.Tensor, rotary_dim: int) -> None:
    torch.testing.assert_close(
        PartialRotaryEmbedding(rotary_dim, 8)(x), PartialRotaryEmbedding(rotary_dim - 1, 8)(x)
    )


@pytest.mark.parametrize("name", ["alibi", "relative_bias", "partial_rope"])
def test_bfloat16_is_float32_rounded(name: str, x: torch.Tensor) -> None:
    module = {
        "alibi": ALiBi(HEADS, 8),
        "relative_bias": learned(),
        "partial_rope": PartialRotaryEmbedding(8, 8),
    }
    low = copy.deepcopy(module[name]).to(torch.bfloat16)(x.to(torch.bfloat16))
    assert low.dtype == torch.bfloat16
    assert not torch.isnan(low).any()
    torch.testing.assert_close(low.float(), module[name](x), rtol=2e-2, atol=5e-2)


@pytest.mark.parametrize("module", [ALiBi(HEADS, 8), learned()], ids=["alibi", "relative_bias"])
def test_a_bias_is_of_its_querys_type(module: nn.Module, x: torch.Tensor) -> None:
    """Under autocast queries are narrower than the module's own tensors."""
    assert module(x.to(torch.bfloat16)).dtype == torch.bfloat16
    assert module(x).shape == (1, HEADS, LENGTH, LENGTH)


@pytest.mark.parametrize("module", [ALiBi(4, 8), PartialRotaryEmbedding(8, 8)], ids=["alibi", "partial_rope"])
def test_nothing_is_saved_of_what_is_not_learned(module: nn.Module) -> None:
    assert module.state_dict() == {}
    assert list(learned().state_dict()) == ["table"]
