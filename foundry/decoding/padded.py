"""Zeros before the first token, as causal convolutions put them there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from foundry.decoding.tail import Pass, Tail, tail


class PaddedTail(Tensor):
    """All positions along the last axis after `lead` zeros; an ordinary tensor to all but `conv1d`."""

    lead: int
    during: Pass

    @classmethod
    def __torch_function__(
        cls,
        func: Any,
        types: Iterable[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        with torch._C.DisableTorchFunctionSubclass():
            if func is F.conv1d and isinstance(args[0], PaddedTail):
                return _convolve(args[0], *args[1:], **(kwargs or {}))
            return func(*args, **(kwargs or {}))


def padded_tail(data: Tensor, lead: int, during: Pass) -> PaddedTail:
    """Say of a tensor that it holds all positions of a pass after `lead` zeros."""
    made: PaddedTail = data.as_subclass(PaddedTail)
    made.lead = lead
    made.during = during
    return made


def _convolve(x: PaddedTail, weight: Tensor, *args: Any, **kwargs: Any) -> Tensor | Tail:
    """Convolve over what the newest positions see, where that gives as many positions as there are tokens."""
    result = F.conv1d(
        x.narrow(-1, x.size(-1) - x.during.new - x.lead, x.during.new + x.lead), weight, *args, **kwargs
    )
    if weight.size(-1) != x.lead + 1 or result.size(-1) != x.during.new:
        return F.conv1d(x, weight, *args, **kwargs)
    return tail(result, -1, x.during)
