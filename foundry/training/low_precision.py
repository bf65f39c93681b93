"""What autocast leaves slow or coarse on a CPU, done otherwise: causal attention and the cross-entropy.

The fused attention's backward pass takes seven times as long in bfloat16 as in float32 there. Plain products
and a softmax in bfloat16 take half to three quarters of the time of the fused float32 (docs/log.md).
"""

from __future__ import annotations

import functools
import math
import warnings
from typing import Any

import torch
from torch import Tensor, library
from torch.nn import functional as F

LONGEST = 512  # tokens; beyond, the weights of plain attention take more memory than the rest of the model
ROWS = 128  # queries at a time: each part leaves out the keys that come after all of it


@functools.cache
def register() -> library.Library:
    """Make autocast on the CPU do so from now on, in this process; the library must be kept.

    Registered where autocast has its own rules, it finds every spelling of a call in a source that knows
    nothing of it, costs other calls nothing, and does nothing outside of autocast.
    """
    rules = library.Library("aten", "IMPL")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that autocast's own rule is replaced, which is what is wanted
        rules.impl("scaled_dot_product_attention", attention, "AutocastCPU")
        rules.impl("cross_entropy_loss", cross_entropy, "AutocastCPU")
    return rules


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
        parts.append(torch.bmm(weights, v[:, :stop]))
    return (parts[0] if len(parts) == 1 else torch.cat(parts, 1)).view(shape)


def cross_entropy(logits: Tensor, target: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """Take the logarithms in float32: in bfloat16 a loss of 2 is known to a hundredth."""
    with torch.autocast("cpu", enabled=False):
        loss: Tensor = torch.ops.aten.cross_entropy_loss(logits.float(), target, *args, **kwargs)
    return loss
