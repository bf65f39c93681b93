"""A tensor of which only the newest positions are there.

A candidate's source knows nothing of caches: it maps all T tokens of a text to T rows of logits. To decode
one token more, its `forward` runs on a `Tail`: a tensor that says it has T positions along time and holds the
last few alone. Whatever does not mix positions (linear layers, norms, activations, reshaping) is computed for
those few. What mixes them asks for the whole: keys and values come out of the cache, to which their newest
positions are appended on the way. Constants such as masks, rotary tables and position ids are made by the
source itself for all T positions, as ever, and cut to the newest where they meet a Tail. So sizes, masks and
positions mean what the source says they mean, whatever the kind of attention.

An operation that no rule of `foundry/decoding/rules` knows is computed in full, which is slow and right. This
rests on one assumption, which holds for a causal model that does not look at T: what was computed for a
position stays as it is when tokens are added. `foundry/decoding/decoder.py` tests it before it is used.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from foundry.decoding.cache import Cache
from foundry.decoding.entries import Role


@dataclass(frozen=True)
class Pass:
    """One forward pass over `total` positions, at least two, of which the last `new` are computed."""

    total: int
    new: int
    cache: Cache

    @property
    def old(self) -> int:
        """Positions computed in passes before."""
        return self.total - self.new


class Tail(Tensor):
    """The last `during.new` of `during.total` positions along `axis`, counted from the right: -1, -2 …"""

    axis: int
    during: Pass

    @classmethod
    def __torch_function__(
        cls,
        func: Any,
        types: Iterable[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        with torch._C.DisableTorchFunctionSubclass():  # within, a Tail is the tensor that it holds
            call = Call(func, tuple(args), dict(kwargs or {}))
            if found := RULES.get(call.name):
                try:
                    return found(call)
                except NotCoveredError:
                    pass
            return in_full(call)


def tail(data: Tensor, axis: int, during: Pass) -> Tail:
    """Say of a tensor that it holds the newest positions of a pass along `axis`."""
    made: Tail = data.as_subclass(Tail)
    made.axis = axis
    made.during = during
    return made


def full_shape(x: Tail) -> list[int]:
    """Return the shape that the source sees; to be asked within a rule."""
    shape = list(x.shape)
    shape[x.axis] = x.during.total
    return shape


class Call:
    """One operation on at least one Tail."""

    __slots__ = ("args", "during", "func", "kwargs", "name", "tails")

    def __init__(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.func = func
        self.args = args
        self.kwargs = kwargs
        name: str = func.__name__
        if name == "__get__":  # of an attribute such as `shape`
            name = func.__self__.__name__
        self.name = name.strip("_")  # add, add_ and __add__ are one operation
        self.tails = list(_tails((*args, *kwargs.values())))
        self.during = self.tails[0].during

    @property
    def in_place(self) -> bool:
        """Whether it writes to its first argument."""
        name: str = self.func.__name__
        single = name.endswith("_") and not name.endswith("__")
        return single or name == "__setitem__" or name in _AUGMENTED

    def first(self) -> Tail:
        """Return the first argument, where it is the only Tail.

        Raises:
            NotCoveredError: it is none, or there are others.
        """
        x = self.args[0] if self.args else None
        if len(self.tails) != 1 or not isinstance(x, Tail):
            raise NotCoveredError
        return x

    def argument(self, position: int, name: str, default: Any = None) -> Any:
        """Return an argument given by position or by name."""
        return self.args[position] if len(self.args) > position else self.kwargs.get(name, default)

    def whole(self, x: Any, role: Role = Role.EXACT, window: int | None = None) -> Any:
        """Return all positions of a Tail that are still seen, for reading only; anything else as it is."""
        return self.during.cache.extend(x, x.axis, role, window) if isinstance(x, Tail) else x

    def newest(self, x: Any, axis: int) -> Any:
        """Return the newest positions along `axis` (negative) of an operand that is broadcast against a Tail.

        An operand with T entries there has one for each position; any other has one for all of them.
        """
        if isinstance(x, Tail) and x.axis == axis:
            return x
        x = self.whole(x)
        if isinstance(x, Tensor) and x.dim() >= -axis and x.size(axis) == self.during.total:
            return x.narrow(axis, self.during.old, self.during.new)
        return x

    def run_with(self, change: Callable[[Any], Any]) -> Any:
        """Call the function with every argument changed, those in lists and tuples too."""

        def changed(value: Any) -> Any:
            return type(value)(map(change, value)) if type(value) in (tuple, list) else change(value)

        args = [changed(value) for value in self.args]
        return self.func(*args, **{name: changed(value) for name, value in self.kwargs.items()})


def _tails(values: Iterable[Any]) -> Iterable[Tail]:
    for value in values:
        if isinstance(value, Tail):
            yield value
        elif type(value) in (tuple, list):
            yield from _tails(value)


_AUGMENTED = frozenset(
    f"__i{name}__"
    for name in ("add", "sub", "mul", "div", "truediv", "floordiv", "mod", "pow", "and", "or", "xor")
)

Rule = Callable[[Call], Any]
RULES: dict[str, Rule] = {}  # by name of the operation; filled by the modules of foundry/decoding/rules


def rule(*names: str) -> Callable[[Rule], Rule]:
    """Make a function the rule for operations of these names: `add` is add, add_ and __add__ alike."""

    def register(function: Rule) -> Rule:
        RULES.update(dict.fromkeys(names, function))
        return function

    return register


class NotCoveredError(Exception):
    """A rule does not cover this use of its operation: compute it in full."""


class UnsupportedError(RuntimeError):
    """The source does something that newest positions alone cannot stand for."""


def in_full(call: Call) -> Any:
    """Compute an operation for all positions; what comes out is an ordinary tensor with all of them.

    Raises:
        UnsupportedError: it writes to a Tail, which does not hold what it would write to.
    """
    if (call.in_place and isinstance(call.args[0], Tail)) or isinstance(call.kwargs.get("out"), Tensor):
        raise UnsupportedError(f"its source writes to activations with {call.func.__name__}")
    # a clone, since the source may write to what it gets
    return call.run_with(lambda x: call.whole(x).clone() if isinstance(x, Tail) else x)
