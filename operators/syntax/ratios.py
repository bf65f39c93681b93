"""Find the widths of feed-forward layers that are written as a number times the model's."""

from collections.abc import Iterator
from fractions import Fraction

import libcst as cst

from operators.syntax.encoder import encoder_layers, given
from operators.syntax.feedforward import feed_forwards, is_linear, linear_sizes
from operators.syntax.program import Program
from operators.syntax.sequential import UNITS
from operators.syntax.tree import argument, leaf
from operators.syntax.widths import Width, read_width, scope_of, value_of


def hidden_widths(program: Program) -> Iterator[Width]:
    """Yield each such width: of linear layers, of torch's own layers, of what a caller hands down."""
    yield from _of_linear_layers(program)
    yield from _of_encoder_layers(program)
    yield from _of_callers(program)


def _of_linear_layers(program: Program) -> Iterator[Width]:
    sides: dict[tuple[cst.CSTNode, Fraction, str], dict[int, cst.BaseExpression]] = {}
    whole: set[tuple[cst.CSTNode, str]] = set()  # what layers take in or put out as it is
    for call in program.all(cst.Call):
        scope = scope_of(program, call)
        if scope is None or not (is_linear(call) or leaf(call.func) in UNITS):
            continue
        for side, arg in enumerate(linear_sizes(call)):
            value = value_of(program, arg.value) if arg is not None else None
            if arg is not None and value is not None and value[1] and 1 < value[0] <= 16:
                sides.setdefault((scope, *value), {})[side] = arg.value
            if value is not None and value[0] == 1:
                whole.add((scope, value[1]))
    for (scope, _, base), found in sides.items():
        hidden = read_width(program, found[0]) if len(found) == 2 and (scope, base) in whole else None
        if hidden is not None:
            yield hidden


def _of_encoder_layers(program: Program) -> Iterator[Width]:
    """Yield the hidden widths that torch's own layers are given as a number times the model's."""
    for call in encoder_layers(program):
        model, hidden = given(call, "d_model"), given(call, "dim_feedforward")
        base = value_of(program, model.value) if model is not None else None
        width = read_width(program, hidden.value) if hidden is not None else None
        if base is not None and base[0] == 1 and width is not None and width.base == base[1]:
            yield width


def _of_callers(program: Program) -> Iterator[Width]:
    """Yield the hidden widths that whoever makes a feed-forward layer gives it as an argument."""
    for layer in feed_forwards(program):
        taken, name = layer.owner.parameters(), layer.hidden.base
        calls = [call for call in program.all(cst.Call) if leaf(call.func) == layer.owner.name]
        if layer.hidden.ratio != 1 or name not in taken or len(calls) != 1:
            continue
        arg = argument(calls[0], taken.index(name), name)
        width = read_width(program, arg.value) if arg is not None else None
        if width is not None and 1 < width.ratio <= 16:
            yield width
