"""Add a skip connection inside a sublayer: around an activation, a square projection or the whole of it."""

from collections.abc import Iterator
from functools import partial

import libcst as cst

from operators.operator import Example, ModelOperator, Offer, place, sentence
from operators.source import Edit
from operators.syntax.activations import activated, local_activations
from operators.syntax.attention import bound_names
from operators.syntax.experiment import Experiment
from operators.syntax.layers import layers
from operators.syntax.patch import Patch
from operators.syntax.program import Class, Program
from operators.syntax.residual import sublayers
from operators.syntax.stack import block_class, fresh
from operators.syntax.tensors import wrapped
from operators.syntax.tree import leaf, walk

_BEFORE = """\
import torch.nn as nn

class Mixer(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.mix = nn.Linear(dim, dim)

    def forward(self, x):
        y = x.roll(1, dims=-1)
        return self.mix(y)
"""


class InsertSkip(ModelOperator):
    name = "insert_skip"
    family = "generic"
    summary = "Add what goes in to what comes out: of an activation, a square projection or a sublayer."
    preserves = frozenset({"shapes", "parameter_count"})
    examples = (
        Example(_BEFORE, _BEFORE.replace("return self.mix(y)", "return y + self.mix(y)"), "around"),
        Example(_BEFORE.replace("(dim, dim)", "(dim, 2 * dim)")),
        Example(_BEFORE.replace("self.mix(y)", "y + self.mix(y)")),
    )

    def words(self, edit: Edit) -> str:
        where, what = place(edit.site)
        return sentence(f"skip connection around {what or 'all'} in {where}")

    def find(self, program: Program, experiment: Experiment) -> Iterator[Offer]:
        for site, call, operand in _calls(program):
            if not _is_added(program, call, operand.value):
                yield Offer("around", site, partial(_around, program, call, operand))
        block = block_class(program)
        branches = sublayers(program, block).values() if block is not None else ()
        for owner in dict.fromkeys(owner for owner in branches if owner is not None):
            answer = _answer(owner)
            if answer is not None:
                yield Offer("whole", owner.name, partial(_whole, program, owner, answer))


def _calls(program: Program) -> Iterator[tuple[str, cst.BaseExpression, cst.Name]]:
    """Yield site, call and operand where a variable goes through something that keeps its shape."""
    for layer in layers(program):
        square = layer.kind == "linear" and layer.inward is not None and layer.inward == layer.outward
        if not square and layer.kind != "elementwise":
            continue
        for call in layer.calls:
            if len(call.args) == 1 and isinstance(call.args[0].value, cst.Name):
                yield f"{layer.owner.name}:{layer.name}", call, call.args[0].value
    for one in activated(program, local_activations(program)):
        function = program.function_of(one.whole)
        if function is not None and function.name.value == "forward" and isinstance(one.operand, cst.Name):
            yield f"{program.owner(one.whole)}:{one.kind}", one.whole, one.operand


def _is_added(program: Program, call: cst.BaseExpression, name: str) -> bool:
    """Tell whether a call stands in a sum with its own operand, which may be the residual stream."""
    parent = program.parents[call]
    return isinstance(parent, cst.BinaryOperation) and name in (leaf(parent.left), leaf(parent.right))


def _around(program: Program, call: cst.BaseExpression, operand: cst.Name) -> str:
    patch = Patch(program)
    patch.change(
        call, lambda updated: wrapped(program, call, patch.expression(f"{operand.value} + {{x}}", x=updated))
    )
    return patch.code()


def _answer(owner: Class) -> cst.BaseExpression | None:
    """Return what `forward(x, …)` of a sublayer returns, in one place, unless that is a sum already."""
    forward = owner.methods.get("forward")
    if forward is None or len(forward.params.params) < 2 or not isinstance(forward.body, cst.IndentedBlock):
        return None
    returns = [node for node in walk(forward) if isinstance(node, cst.Return)]
    if len(returns) != 1 or not isinstance(returns[0].value, (cst.Call, cst.Name)):
        return None
    return returns[0].value


def _whole(program: Program, owner: Class, answer: cst.BaseExpression) -> str:
    patch, forward = Patch(program), owner.methods["forward"]
    name = forward.params.params[1].name.value
    if name in bound_names(forward):
        kept = fresh("skip", forward)
        first = forward.body.body[1 if forward.get_docstring() is not None else 0]
        patch.before(first, f"{kept} = {name}")
        name = kept
    patch.change(answer, lambda updated: patch.expression(f"{name} + {{x}}", x=updated))
    return patch.code()


OPERATOR = InsertSkip()
