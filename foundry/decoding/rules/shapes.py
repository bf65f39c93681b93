"""Operations that rearrange a tensor and leave its numbers as they are."""

from __future__ import annotations

import math
from typing import Any

import torch

from foundry.decoding.tail import Call, NotCoveredError, Tail, full_shape, rule, tail


@rule("view", "reshape", "flatten", "unflatten", "squeeze")
def reshape(call: Call) -> Tail:
    """Keep time where it stays an axis of its own: as many numbers before it, T entries along it."""
    x = call.first()
    if any(isinstance(value, torch.dtype) for value in call.args):
        raise NotCoveredError
    after = call.func(torch.empty(full_shape(x), device="meta"), *call.args[1:], **call.kwargs).shape
    return _reshaped(x, list(after))


@rule("view_as", "reshape_as", "expand_as")
def like_another(call: Call) -> Any:
    x, like = call.args
    after = full_shape(like) if isinstance(like, Tail) else list(like.shape)
    if call.name == "expand_as":
        return _expanded(x, after) if isinstance(x, Tail) else x.expand(after)
    return _reshaped(x, after) if isinstance(x, Tail) else x.reshape(after)


def _reshaped(x: Tail, after: list[int]) -> Tail:
    before = full_shape(x)
    ahead = math.prod(before[: x.axis])
    for i, size in enumerate(after):
        if size == x.during.total and math.prod(after[:i]) == ahead:
            after[i] = x.during.new
            return tail(x.reshape(after), i - len(after), x.during)
    raise NotCoveredError


@rule(
    "transpose", "swapaxes", "swapdims", "permute", "movedim", "moveaxis", "unsqueeze", "t", "T", "mT", "mH"
)
def permute(call: Call) -> Tail:
    """See where time goes by sending a tensor along that has length elsewhere nowhere."""
    x = call.first()
    marked = [1] * x.dim()
    marked[x.axis] = 2
    after = call.func(torch.empty(marked), *call.args[1:], **call.kwargs).shape
    return tail(call.func(*call.args, **call.kwargs), after.index(2) - len(after), x.during)


@rule("expand", "broadcast_to")
def expand(call: Call) -> Tail:
    return _expanded(call.first(), _sizes(call))


def _expanded(x: Tail, sizes: list[int]) -> Tail:
    if sizes[x.axis] not in (-1, x.during.total):
        raise NotCoveredError
    sizes[x.axis] = -1
    return tail(x.expand(sizes), x.axis, x.during)


@rule("repeat", "tile")
def repeat(call: Call) -> Tail:
    x = call.first()
    times = _sizes(call)
    if len(times) >= -x.axis and times[x.axis] != 1:
        raise NotCoveredError
    return tail(call.func(x, times), x.axis, x.during)


def _sizes(call: Call) -> list[int]:
    given: Any = call.args[1:] or tuple(call.kwargs.values())
    return list(given[0] if len(given) == 1 and not isinstance(given[0], int) else given)
