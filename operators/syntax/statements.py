"""Find the statements of `forward` that give a tensor another value: `x = f(x)`, `x = x + f(x)`."""

from dataclasses import dataclass

import libcst as cst

from operators.syntax.activations import activated, local_activations
from operators.syntax.layers import layers
from operators.syntax.program import Program
from operators.syntax.residual import addends, summed_line
from operators.syntax.stack import block_class
from operators.syntax.tree import assigned, leaf, self_attribute, walk


@dataclass(frozen=True, eq=False)
class Step:
    """Hold one such statement. `kind` is residual or that of a layer; `name` is the layer or function."""

    line: cst.SimpleStatementLine
    stream: str  # x
    kind: str
    name: str
    home: str  # the class

    @property
    def site(self) -> str:
        return f"{self.home}:{self.name}"


def residual_steps(program: Program) -> list[Step]:
    """Return the lines of a block that add one sublayer each to the stream."""
    block = block_class(program)
    found = []
    for addend in addends(program, block) if block is not None else ():
        summed = summed_line(program, addend)
        if summed is not None and assigned(summed[0]) is not None and block is not None:
            line = cst.ensure_type(summed[0], cst.SimpleStatementLine)
            found.append(Step(line, summed[2], "residual", addend.name, block.name))
    return found if len({step.line for step in found}) == len(found) else []


def steps(program: Program) -> list[Step]:
    """Return the lines `x = f(x)` in the order of the file, where f is a layer or function known here."""
    kinds: dict[cst.BaseExpression, tuple[str, str]] = {}
    operands: dict[cst.BaseExpression, cst.BaseExpression] = {}
    for layer in layers(program):
        kinds |= dict.fromkeys(layer.calls, (layer.kind, layer.name))
    for one in activated(program, local_activations(program)):
        kinds[one.whole], operands[one.whole] = ("elementwise", one.kind), one.operand
    found = []
    for owner in program.classes.values():
        for node in walk(owner.methods["forward"]) if "forward" in owner.methods else ():
            pair = assigned(node)
            if pair is None or pair[1] not in kinds or not isinstance(pair[0], cst.Name):
                continue
            call = pair[1]
            args = call.args if isinstance(call, cst.Call) else ()
            operand = operands.get(call) or (args[0].value if len(args) == 1 else None)
            if operand is not None and leaf(operand) == pair[0].value and self_attribute(operand) is None:
                line = cst.ensure_type(node, cst.SimpleStatementLine)
                found.append(Step(line, pair[0].value, *kinds[call], owner.name))
    return found
