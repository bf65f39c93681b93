"""Square brackets."""

from __future__ import annotations

from typing import Any

from foundry.decoding.tail import Call, NotCoveredError, Pass, rule, tail


@rule("getitem")
def getitem(call: Call) -> Any:
    """Cut along other axes, take all of time, or take positions that are among the newest."""
    x, given = call.first(), call.args[1]
    keys = _spelled_out(list(given) if isinstance(given, tuple) else [given], x.dim())
    dim, behind, kept = -x.dim(), 0, False
    for i, key in enumerate(keys):
        if dim == x.axis and key is not None:
            keys[i], kept = _in_time(key, x.during)
            behind = 0
        elif isinstance(key, list):
            raise NotCoveredError
        behind += key is None or isinstance(key, slice)
        dim += key is not None
    result = x[tuple(keys)]
    return tail(result, -behind, x.during) if kept else result


def _spelled_out(keys: list[Any], ndim: int) -> list[Any]:
    """Write slices for an ellipsis and for what is not mentioned; tensors as keys are not covered."""
    for key in keys:
        single = isinstance(key, list) and len(key) == 1 and isinstance(key[0], int)
        if isinstance(key, bool) or not (
            key is None or key is ... or single or isinstance(key, (int, slice))
        ):
            raise NotCoveredError
    missing = [slice(None)] * (ndim - sum(key is not None and key is not ... for key in keys))
    if ... in keys:
        i = keys.index(...)
        return keys[:i] + missing + keys[i + 1 :]
    return keys + missing


def _in_time(key: Any, during: Pass) -> tuple[Any, bool]:
    """Translate an index of time; say whether the result still has all positions.

    What counts from the start is not among the newest for long, even where all are new.
    """
    positions = range(during.total)
    if isinstance(key, slice):
        wanted = positions[key]
        if wanted == positions:
            return slice(None), True
        if wanted.step != 1 or (key.start or 0) >= 0 or wanted.start < during.old:
            raise NotCoveredError
        return slice(wanted.start - during.old, wanted.stop - during.old), False
    index = key[0] if isinstance(key, list) else key
    position = positions[index] - during.old
    if index >= 0 or position < 0:
        raise NotCoveredError
    return [position] if isinstance(key, list) else position, False
