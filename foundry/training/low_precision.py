"""What autocast leaves slow or coarse on a CPU, done otherwise: causal attention and the cross-entropy.

The fused attention's backward pass takes seven times as long in bfloat16 as in float32 there. Plain products
and a softmax in bfloat16 take half as long as the fused float32 (FACTS of the machine: docs/log.md).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

LONGEST = 512  # tokens; beyond, the weights of plain attention take more memory than the rest of the model
ROWS = 128  # queries at a time: each part leaves out the keys that come after all of it


class Bfloat16OnCpu(TorchFunctionMode):
    """Replace functions of torch while a source, which knows nothing of it, runs under autocast."""

    def __torch_function__(
        self,
        func: Any,
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        return _INSTEAD.get(func, func)(*args, **(kwargs or {}))


def attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    *,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """Do what scaled_dot_product_attention does, in bfloat16 where that is faster, else in float32."""
    plain = is_causal and attn_mask is None and not dropout_p and query.shape[:-1] == key.shape[:-1]
    if plain and query.dim() == 4 and query.size(-2) <= LONGEST:
        return causal(query, key, value, scale)
    with torch.autocast("cpu", enabled=False):
        mask = attn_mask.float() if attn_mask is not None and attn_mask.is_floating_point() else attn_mask
        return F.scaled_dot_product_attention(
            query.float(),
            key.float(),
            value.float(),
            mask,
            dropout_p,
            is_causal,
            scale=scale,
            enable_gqa=enable_gqa,
        )


def causal(query: Tensor, key: Tensor, value: Tensor, scale: float | None = None) -> Tensor:
    """Let each of T queries attend to the keys up to its own, in bfloat16.

    Takes and returns (batch, heads, T, width).
    """
    shape = (*query.shape[:-1], value.size(-1))
    query = query * (1 / math.sqrt(query.size(-1)) if scale is None else scale)
    q, k, v = (x.bfloat16().flatten(0, 1) for x in (query, key, value))
    length = q.size(1)
    parts = []
    for start in range(0, length, ROWS):
        stop = min(start + ROWS, length)
        later = torch.full((stop - start, stop), -math.inf, dtype=q.dtype, device=q.device).triu_(start + 1)
        weights = torch.baddbmm(later, q[:, start:stop], k[:, :stop].mT).softmax(-1)
        parts.append(weights @ v[:, :stop])
    return (parts[0] if len(parts) == 1 else torch.cat(parts, 1)).view(shape)


def cross_entropy(input: Tensor, target: Tensor, *args: Any, **kwargs: Any) -> Tensor:  # torch's names
    """Take the logarithms in float32: in bfloat16 a loss of 2 is known to a hundredth."""
    return F.cross_entropy(input.float(), target, *args, **kwargs)


_INSTEAD: dict[Any, Callable[..., Tensor]] = {
    F.scaled_dot_product_attention: attention,
    F.cross_entropy: cross_entropy,
}
