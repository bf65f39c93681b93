"""Sparse attention against the dense formula in numpy, and a latent against the formulas of its paper."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from foundry.modules.block_sparse import BlockSparseAttention
from foundry.modules.latent_attention import LatentKeyValue
from foundry.modules.partial_rope import PartialRotaryEmbedding
from foundry.modules.sliding_window import SlidingWindowAttention
from foundry.modules.strided import StridedAttention

Allowed = Callable[[int, int, int], bool]  # of query, key and size


def in_window(i: int, j: int, window: int) -> bool:
    return i - j < window


def in_blocks(i: int, j: int, block: int) -> bool:
    return i // block - j // block <= 1 or j // block == 0


def in_strides(i: int, j: int, stride: int) -> bool:
    return i - j < stride or (i - j) % stride == 0


PATTERNS: dict[str, tuple[type[nn.Module], Allowed]] = {
    "sliding window": (SlidingWindowAttention, in_window),
    "block sparse": (BlockSparseAttention, in_blocks),
    "strided": (StridedAttention, in_strides),
}


def randn(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def tensors(length: int, kv_heads: int = 4) -> tuple[Tensor, Tensor, Tensor]:
    """Queries of 4 heads, keys and values."""
    return (
        randn(2, 4, length, 8, seed=0),
        randn(2, kv_heads, length, 8, seed=1),
        randn(2, kv_heads, length, 8, seed=2),
    )


def by_formula(q: Tensor, k: Tensor, v: Tensor, size: int, allowed: Allowed) -> np.ndarray:
    """Softmax over the scores of every allowed pair, one query at a time, in float64."""
    queries, keys, values = (x.double().numpy() for x in (q, k, v))
    batch, heads, length, width = queries.shape
    out = np.zeros((batch, heads, length, values.shape[-1]))
    group = heads // keys.shape[1]
    for b, h, i in np.ndindex(batch, heads, length):
        seen = [j for j in range(i + 1) if allowed(i, j, size)]
        scores = keys[b, h // group, seen] @ queries[b, h, i] / np.sqrt(width)
        weights = np.exp(scores - scores.max())
        out[b, h, i] = weights / weights.sum() @ values[b, h // group, seen]
    return out


@pytest.fixture(params=PATTERNS, name="pattern")
def _pattern(request: pytest.FixtureRequest) -> tuple[type[nn.Module], Allowed]:
    return PATTERNS[request.param]


@pytest.mark.parametrize(
    ("length", "size"), [(1, 4), (5, 8), (8, 8), (9, 8), (16, 4), (23, 4), (7, 1), (30, 7)]
)
def test_sparse_attention_is_the_formula(
    pattern: tuple[type[nn.Module], Allowed], length: int, size: int
) -> None:
    layer, allowed = pattern
    q, k, v = tensors(length)
    expected = torch.from_numpy(by_formula(q, k, v, size, allowed)).float()
    torch.testing.assert_close(layer(size)(q, k, v), expected, atol=1e-5, rtol=1e-5)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(st.sampled_from(sorted(PATTERNS)), st.integers(1, 40), st.integers(1, 20), st.sampled_from([1, 2, 4]))
def test_sparse_attention_is_masked_attention(name: str, length: int, size: int, kv_heads: int) -> None:
    layer, allowed = PATTERNS[name]
    q, k, v = tensors(length, kv_heads)
    mask = torch.tensor(
        [[j <= i and allowed(i, j, size) for j in range(length)] for i in range(length)], dtype=torch.bool
    )
    expected = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, enable_gqa=True, scale=0.3)
    torch.testing.assert_close(layer(size)(q, k, v, scale=0.3), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("length", [6, 23])
def test_gradients_are_those_of_masked_attention(
    pattern: tuple[type[nn.Module], Allowed], length: int
) -> None:
    layer, allowed = pattern
    mask = torch.tensor([[j <= i and allowed(i, j, 4) for j in range(length)] for i in range(length)])
    weights = randn(2, 4, length, 8, seed=3)
    grads = []
    for attend in (layer(4), lambda q, k, v: F.scaled_dot_product_attention(q, k, v, attn_mask=mask)):
        inputs = [x.requires_grad_() for x in tensors(length)]
        (attend(*inputs) * weights).sum().backward()
        grads.append([x.grad for x in inputs])
    for mine, theirs in zip(*grads, strict=True):
        torch.testing.assert_close(mine, theirs, atol=1e-5, rtol=1e-4)


def test_what_lies_ahead_does_not_count(pattern: tuple[type[nn.Module], Allowed]) -> None:
    layer, _ = pattern
    q, k, v = tensors(21)
    before = layer(4)(q, k, v)
    for x in (q, k, v):
        x[:, :, 13:] = 1e3
    assert torch.equal(layer(4)(q, k, v)[:, :, :13], before[:, :, :13])


def test_bfloat16_stays_near(pattern: tuple[type[nn.Module], Allowed]) -> None:
    layer, _ = pattern
    q, k, v = tensors(21)
    low = layer(4)(*(x.to(torch.bfloat16) for x in (q, k, v)))
    assert low.dtype == torch.bfloat16
    torch.testing.assert_close(low.float(), layer(4)(q, k, v), atol=0.05, rtol=0.05)


def test_dropout_leaves_the_mean(pattern: tuple[type[nn.Module], Allowed]) -> None:
    layer, _ = pattern
    q, k, v = (x[:1].repeat(400, 1, 1, 1) for x in tensors(9))
    torch.manual_seed(0)
    dropped = layer(4)(q, k, v, dropout_p=0.3)
    whole = layer(4)(q, k, v)
    assert not torch.equal(dropped, whole)
    torch.testing.assert_close(dropped.mean(dim=0), whole[0], atol=0.3, rtol=0.0)


def test_no_window_is_torch_s_causal_attention() -> None:
    q, k, v = tensors(9)
    expected = F.scaled_dot_product_attention(q, k, v, is_causal=True)
    assert torch.equal(SlidingWindowAttention(None)(q, k, v), expected)


@pytest.mark.parametrize("shared_dim", [0, 4])
def test_keys_and_values_come_from_a_normalised_latent(shared_dim: int) -> None:
    layer = stirred(LatentKeyValue(16, 2, latent=6, shared_dim=shared_dim))
    x = randn(2, 5, 16, seed=0)
    k, v = layer(x)
    down, up, gain = (
        p.detach().double().numpy() for p in (layer.down.weight, layer.up.weight, layer.norm.weight)
    )
    made = x.double().numpy() @ down.T
    latent, shared = made[..., :6], made[..., 6:]
    latent = latent / np.sqrt((latent**2).mean(-1, keepdims=True) + 1e-6) * gain
    heads = (latent @ up.T).reshape(2, 5, 2, 16 - shared_dim)
    keys = np.concatenate((np.repeat(shared[:, :, None], 2, axis=2), heads[..., : 8 - shared_dim]), axis=-1)
    torch.testing.assert_close(k, torch.from_numpy(keys.reshape(2, 5, 16)).float())
    torch.testing.assert_close(v, torch.from_numpy(heads[..., 8 - shared_dim :].reshape(2, 5, 16)).float())


def test_latent_scores_are_content_plus_one_rotated_key() -> None:
    """DeepSeek-V2, equations 14 to 19: q_nope · k_nope + q_rope · k_rope, with one k_rope for all heads."""
    layer, rope = stirred(LatentKeyValue(16, 2, latent=6, shared_dim=4)), PartialRotaryEmbedding(4, 5)
    x, q = randn(1, 5, 16, seed=0), randn(1, 2, 5, 8, seed=1)
    k = layer(x)[0].view(1, 5, 2, 8).transpose(1, 2)  # (B, nh, T, hs)
    scores = rope(q) @ rope(k).mT
    latent, shared = layer.down(x).split((6, 4), dim=-1)
    content = layer.up(layer.norm(latent)).view(1, 5, 2, 12)[..., :4].transpose(1, 2)
    turned = rope(shared)  # a head of nothing else
    expected = q[..., 4:] @ content.mT + rope(q)[..., :4] @ turned.unsqueeze(1).mT
    torch.testing.assert_close(scores, expected)


def test_a_latent_is_what_a_decoder_need_keep() -> None:
    layer = LatentKeyValue(64, 4, latent=16, shared_dim=8)
    assert layer.down.weight.shape == (16 + 8, 64)
    assert sum(p.numel() for p in layer.parameters()) == 24 * 64 + 16 + 16 * 4 * (8 + 16)


def test_latent_dtypes_and_gradients() -> None:
    layer = LatentKeyValue(16, 2, latent=6, shared_dim=4)
    x = randn(2, 5, 16, seed=0).requires_grad_()
    k, v = layer(x)
    (k.square().sum() + v.square().sum()).backward()
    gradients = [x.grad, *(p.grad for p in layer.parameters())]
    assert all(g is not None and torch.isfinite(g).all() and g.abs().sum() > 0 for g in gradients)
    low = layer.to(torch.bfloat16)(x.detach().to(torch.bfloat16))
    assert all(part.dtype == torch.bfloat16 and part.shape == (2, 5, 16) for part in low)
    assert all(torch.isfinite(part).all() for part in low)


def stirred(layer: LatentKeyValue) -> LatentKeyValue:
    """Give every parameter a value of its own, gains included."""
    with torch.no_grad():
        for at, parameter in enumerate(layer.parameters()):
            parameter.copy_(randn(*parameter.shape, seed=10 + at))
    return layer
