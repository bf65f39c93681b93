"""Operations along dimensions that they are told: they mix positions only where one of these is time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from foundry.decoding.padded import padded_tail
from foundry.decoding.tail import Call, NotCoveredError, Tail, rule, tail

# where the dimension stands among the arguments, and what it is when not given (None: all of them)
_PLACES: dict[tuple[int, int | None], str] = {
    (1, None): """
        softmax log_softmax softmin mean sum nansum prod var std amax amin max min logsumexp all any argmax
        argmin cumsum cumprod cummax narrow select
    """,
    (2, None): "norm linalg_norm linalg_vector_norm repeat_interleave roll",
    (1, -1): "sort argsort glu",
    (2, -1): "topk",
    (1, 0): "unbind",
    (2, 0): "split chunk tensor_split",
    (2, 1): "normalize",
}
_DIMENSIONS = {name: place for place, names in _PLACES.items() for name in names.split()}
_PER_POSITION = ("softmax", "log_softmax", "softmin", "cumsum", "cumprod", "roll")


@rule(*_DIMENSIONS)
def along(call: Call) -> Any:
    x = call.first()
    position, default = _DIMENSIONS[call.name]
    other_names = call.kwargs.get("dims", call.kwargs.get("axis", default))
    given = call.argument(position, "dim", other_names)
    dims = given if isinstance(given, Sequence) else [given]
    if not all(type(dim) is int for dim in dims):
        raise NotCoveredError
    dims = [dim if dim < 0 else dim - x.dim() for dim in dims]
    if x.axis in dims:
        return _along_time(call, x)
    results = call.func(*call.args, **call.kwargs)
    lost = sum(dim > x.axis for dim in dims)

    def placed(result: Tensor) -> Tail:
        return tail(result, x.axis + (lost if result.dim() < x.dim() else 0), x.during)

    return placed(results) if isinstance(results, Tensor) else type(results)([placed(r) for r in results])


def _along_time(call: Call, x: Tail) -> Tail:
    """Compute in full what gives a number for every position, as a running sum does, and keep the newest."""
    if call.name not in _PER_POSITION:
        raise NotCoveredError
    result = call.func(call.whole(x), *call.args[1:], **call.kwargs)
    return tail(call.newest(result, x.axis), x.axis, x.during)


@rule("cat", "concat", "concatenate", "stack")
def join(call: Call) -> Tail:
    tensors, dim = call.argument(0, "tensors"), call.argument(1, "dim", call.kwargs.get("axis", 0))
    axis = min(x.axis for x in call.tails)
    stacked = call.name == "stack"
    dim = dim if dim < 0 else dim - call.tails[0].dim() - stacked
    if dim == axis and not stacked:
        raise NotCoveredError
    result = call.func([call.newest(x, axis) for x in tensors], dim)
    return tail(result, axis - (stacked and dim >= axis), call.during)


@rule("pad")
def pad(call: Call) -> Any:
    x = call.first()
    left, right = ([*call.argument(1, "pad")] + [0, 0] * x.dim())[-2 * x.axis - 2 :][:2]
    if left == right == 0:
        return tail(call.func(*call.args, **call.kwargs), x.axis, x.during)
    if left + right == 0 and left > 0:
        return _shifted(call, x, left)
    if x.axis == -1 and left > 0 and right == 0:
        return padded_tail(x, left, lambda whole: call.func(whole, *call.args[1:], **call.kwargs))
    padded = call.func(call.whole(x), *call.args[1:], **call.kwargs)
    return tail(call.newest(padded, x.axis), x.axis, x.during) if left + right == 0 else padded


def _shifted(call: Call, x: Tail, by: int) -> Tail:
    """Move a text along: each position has what was `by` before it, so no more need be kept."""
    recent = call.whole(x, window=by + 1)
    moved = call.func(recent, *call.args[1:], **call.kwargs)
    return tail(moved.narrow(x.axis, moved.size(x.axis) - x.during.new, x.during.new), x.axis, x.during)
