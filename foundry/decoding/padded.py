"""Zeros before the first token, as causal convolutions put them there."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from foundry.decoding.tail import Tail, tail

_QUESTIONS = ("size", "shape", "dim", "ndim", "dtype")


class PaddedTail(Tensor):
    """Newest positions along the last axis, which say that they are all, after `lead` zeros.

    A convolution asks the cache for as much of the past as it sees, anything else for all of it.
    """

    newest: Tail
    lead: int
    padded: Callable[[Tensor], Tensor]

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
            name = func.__self__.__name__ if func.__name__ == "__get__" else func.__name__
            if name in _QUESTIONS and isinstance(args[0], PaddedTail):
                return func(_shape_of(args[0]), *args[1:], **(kwargs or {}))
            named = {name: _whole(value) for name, value in (kwargs or {}).items()}
            return func(*(_whole(value) for value in args), **named)


def padded_tail(x: Tail, lead: int, padded: Callable[[Tensor], Tensor]) -> PaddedTail:
    """Say of newest positions that they are all after `lead` zeros, which `padded` puts before the whole."""
    made = x.as_subclass(PaddedTail)
    made.newest = x
    made.lead = lead
    made.padded = padded
    return made


def _shape_of(x: PaddedTail) -> Tensor:
    """Return something of the shape and dtype that the source sees, without numbers."""
    shape = (*x.newest.shape[:-1], x.lead + x.newest.during.total)
    return torch.empty(shape, dtype=x.newest.dtype, device="meta")


def _whole(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return type(value)(_whole(one) for one in value)
    if not isinstance(value, PaddedTail):
        return value
    return value.padded(value.newest.during.cache.extend(value.newest, -1))


def _convolve(x: PaddedTail, weight: Tensor, *args: Any, **kwargs: Any) -> Tensor | Tail:
    """Convolve over what the newest positions see, where that gives as many positions as there are tokens."""
    during, seen = x.newest.during, weight.size(-1) - 1
    if seen == x.lead:
        recent = x.padded(during.cache.extend(x.newest, -1, window=seen + 1))
        result = F.conv1d(
            recent.narrow(-1, recent.size(-1) - during.new - seen, during.new + seen), weight, *args, **kwargs
        )
        if result.size(-1) == during.new:
            return tail(result, -1, during)
    return F.conv1d(_whole(x), weight, *args, **kwargs)
