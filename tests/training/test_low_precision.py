"""Attention and loss in bfloat16 on the CPU are those of torch in float32, but for rounding."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from foundry.training import device as devices
from foundry.training import low_precision

CPU = torch.device("cpu")
ROUNDING = 0.03  # of a bfloat16 product of several terms near 1; one that attends to the future is off by 1


def inputs(
    heads: int, kv_heads: int, length: int, width: int, value_width: int | None = None
) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    shapes = ((heads, width), (kv_heads, width), (kv_heads, value_width or width))
    return [torch.randn(2, n, length, size, generator=generator).requires_grad_() for n, size in shapes]


def gradients(output: Tensor, tensors: list[Tensor]) -> list[Tensor]:
    weights = torch.randn(output.shape, generator=torch.Generator().manual_seed(1))
    return list(torch.autograd.grad((output.float() * weights).sum(), tensors))


def low(*args: Tensor, **kwargs: object) -> Tensor:
    with devices.precision(CPU, "bfloat16"):
        return F.scaled_dot_product_attention(*args, **kwargs)  # type: ignore[arg-type]


@settings(deadline=None, max_examples=20)
@given(
    heads=st.integers(1, 3),
    length=st.sampled_from(
        [1, 2, 7, low_precision.ROWS, low_precision.ROWS + 1, 2 * low_precision.ROWS + 44]
    ),
    width=st.sampled_from([1, 8, 24]),
    value_width=st.sampled_from([8, 16]),
    scale=st.sampled_from([None, 0.5]),
)
def test_causal_attention_and_its_gradients(
    heads: int, length: int, width: int, value_width: int, scale: float | None
) -> None:
    tensors = inputs(heads, heads, length, width, value_width)
    expected = F.scaled_dot_product_attention(*tensors, is_causal=True, scale=scale)
    found = low(*tensors, is_causal=True, scale=scale)
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.float(), expected, atol=ROUNDING, rtol=ROUNDING)
    for gradient, reference in zip(gradients(found, tensors), gradients(expected, tensors), strict=True):
        difference = (gradient - reference).norm() / reference.norm().clamp(min=1.0)
        assert difference < ROUNDING


@pytest.mark.parametrize("length", [low_precision.ROWS + 8, low_precision.LONGEST + 1])
def test_no_query_sees_a_later_key(length: int) -> None:
    query, key, value = inputs(1, 1, length, 8)
    before = low(query, key, value, is_causal=True)
    cut = length - 5
    key.data[:, :, cut:] += 3
    value.data[:, :, cut:] += 3
    after = low(query, key, value, is_causal=True)
    assert torch.equal(before[:, :, :cut], after[:, :, :cut])
    assert not torch.equal(before[:, :, cut:], after[:, :, cut:])


@pytest.mark.parametrize(
    ("kv_heads", "kwargs"),
    [
        (4, {}),
        (4, {"attn_mask": torch.ones(9, 9, dtype=torch.bool).tril()}),
        (4, {"attn_mask": torch.randn(9, 9, generator=torch.Generator().manual_seed(2))}),
        (2, {"is_causal": True, "enable_gqa": True}),
    ],
)
def test_all_other_attention_is_in_float32(kv_heads: int, kwargs: dict[str, object]) -> None:
    tensors = inputs(4, kv_heads, 9, 8)
    expected = F.scaled_dot_product_attention(*tensors, **kwargs)  # type: ignore[arg-type]
    assert torch.equal(low(*tensors, **kwargs), expected)


def test_the_loss_is_that_of_float32_logits() -> None:
    logits = (4 * torch.randn(6, 11, generator=torch.Generator().manual_seed(0))).bfloat16()
    targets = torch.tensor([0, 3, 10, -1, 5, 5])
    expected = F.cross_entropy(logits.float(), targets, ignore_index=-1)
    with devices.precision(CPU, "bfloat16"):
        assert torch.equal(F.cross_entropy(logits, target=targets, ignore_index=-1), expected)
        assert torch.equal(F.cross_entropy(input=logits, target=targets, ignore_index=-1), expected)
