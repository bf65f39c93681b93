"""Keys and values as integers of 8 or 4 bits, each group with a scale and a lowest value of its own.

Groups are chosen as in Liu et al., "KIVI: A Tuning-Free Asymmetric 2bit Quantization for KV Cache" (2024),
since a few channels of keys are large in every token, and those of values are not: keys share a scale over
the 32 positions of a group, one for each channel; values over up to 32 channels, one for each position.
Hooper et al., "KVQuant" (2024), find the same of keys. Rounding is asymmetric, to the nearest of 2^bits steps
between the lowest and the highest of a group, whose lowest and step are kept in float16.
"""

from __future__ import annotations

import torch
from torch import Tensor

GROUP = 32  # positions; also the most channels of a value that share a scale

_LEAST = 2.0**-24  # the smallest step that float16 can hold
_MOST = 65504.0  # the largest number that it can


def shared_channels(width: int) -> int:
    """Return how many channels of a value share a scale."""
    return GROUP if width % GROUP == 0 else width


def scales_of(width: int, channels_share: bool) -> float:
    """Return how many scales there are for one element."""
    return 1 / (shared_channels(width) if channels_share else GROUP)


def quantise(x: Tensor, bits: int, *, channels_share: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Round groups (…, G, 32, D) to codes, with their steps and lowest values.

    Codes are uint8: (…, G, 32, D) of 8 bits; of 4 (…, G, 16, D), the second half of the positions in the
    upper bits. Steps and lowest values are float16: (…, G, 1, D), or (…, G, 32, D / shared) where channels
    share them.
    """
    levels = 2**bits - 1
    parts = x.unflatten(-1, (-1, shared_channels(x.size(-1)))) if channels_share else x
    dim = -1 if channels_share else -2
    low, high = parts.aminmax(dim=dim, keepdim=True)
    low = low.clamp(-_MOST, _MOST).half()
    step = ((high - low) / levels).clamp(_LEAST, _MOST).half()
    codes = ((parts - low) / step).round_().clamp_(0, levels).to(torch.uint8).reshape(x.shape)
    if bits == 4:
        first, second = codes.chunk(2, dim=-2)
        codes = first | (second << 4)
    return (codes, step.squeeze(-1), low.squeeze(-1)) if channels_share else (codes, step, low)


def dequantise_into(
    out: Tensor, codes: Tensor, step: Tensor, low: Tensor, bits: int, *, channels_share: bool
) -> None:
    """Write what `quantise` rounded into `out` (…, G, 32, D)."""
    if bits == 8:
        out.copy_(codes)
    else:
        first, second = out.chunk(2, dim=-2)
        first.copy_(codes & 15)
        second.copy_(codes >> 4)
    step, low = step.to(out.dtype), low.to(out.dtype)
    if channels_share:
        out, step, low = out.unflatten(-1, (step.size(-1), -1)), step.unsqueeze(-1), low.unsqueeze(-1)
    torch.addcmul(low, out, step, out=out)
