"""Find feed-forward layers written as `nn.Sequential(Linear, activation, …, Linear)`, gated or not."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import libcst as cst

from operators.syntax.feedforward import activation_makers, is_linear
from operators.syntax.program import Program
from operators.syntax.tree import argument, leaf
from operators.syntax.widths import Width, read_width, value_of

UNITS = {
    "GLU": "sigmoid", "ReGLU": "relu", "GEGLU": "gelu", "SwiGLU": "silu", "ReLU2GLU": "relu2",
}  # fmt: skip


@dataclass(frozen=True)
class Sequence:
    """Hold one such layer: the call that makes it, and where among its arguments the first linear layer is.

    A gated linear unit of the file stands for linear layer and activation at once.
    """

    call: cst.Call
    at: int
    kind: str
    gated: bool
    hidden: Width

    @property
    def up(self) -> cst.Call:
        """Return the call that makes the first linear layer."""
        return cst.ensure_type(self.call.args[self.at].value, cst.Call)


@lru_cache(maxsize=32)
def sequences(program: Program) -> tuple[Sequence, ...]:
    """Return every feed-forward layer that is made by one call of `nn.Sequential`."""
    calls = [call for call in program.all(cst.Call) if leaf(call.func) == "Sequential"]
    return tuple(_found(program, calls)) if calls else ()


def _found(program: Program, calls: list[cst.Call]) -> Iterator[Sequence]:
    kinds = {made.node: made.kind for made in activation_makers(program)}
    for call in calls:
        values = [arg.value for arg in call.args]
        for at, first in enumerate(values[:-1]):
            if not isinstance(first, cst.Call):
                continue
            kind, gated = _begins(program, first), True
            if kind is None and program.qualified(first.func) == "torch.nn.Linear":
                kind, gated = kinds.get(values[at + 1]), False
            hidden = _hidden(program, first, values[at + 1 :]) if kind is not None else None
            if kind is not None and hidden is not None:
                yield Sequence(call, at, kind, gated, hidden)


def _begins(program: Program, call: cst.Call) -> str | None:
    """Return the kind of a gated linear unit that the file itself defines."""
    owner = program.classes.get(leaf(call.func))
    units = owner is not None and owner.parameters()[:2] == ["in_features", "out_features"]
    return UNITS.get(owner.name) if units and owner is not None else None


def _hidden(program: Program, first: cst.Call, rest: list[cst.BaseExpression]) -> Width | None:
    ends = _ends(program, first)
    if None in ends or ends[0] == ends[-1]:
        return None
    for node in rest:
        if isinstance(node, cst.Call) and is_linear(node):
            out = argument(first, 1, "out_features")
            back = _ends(program, node) == ends[::-1]
            return read_width(program, out.value) if back and out is not None else None
    return None


def _ends(program: Program, call: cst.Call) -> list[object]:
    args = (argument(call, 0, "in_features"), argument(call, 1, "out_features"))
    return [value_of(program, arg.value) if arg is not None else None for arg in args]
