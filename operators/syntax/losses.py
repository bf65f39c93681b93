"""Find where a model computes its training loss, and add a term there or take it away again."""

from dataclasses import dataclass

import libcst as cst
import libcst.matchers as m

from operators.syntax.attention import bound_names
from operators.syntax.patch import Patch
from operators.syntax.program import Class, Program
from operators.syntax.tree import assigned, dotted, names, text, walk

_NONE = m.Name("None")


@dataclass(frozen=True)
class Loss:
    """Hold the statement after which a variable holds the loss, or the expression that is returned as it."""

    node: cst.CSTNode
    name: str  # nothing where it is an expression
    may_be_none: bool


def find_loss(program: Program) -> Loss | None:
    """Return where the class that embeds the tokens computes the loss that it returns beside the logits."""
    for owner in program.classes.values():
        forward = owner.methods.get("forward")
        if forward is None or not _embeds(owner) or not isinstance(forward.body, cst.IndentedBlock):
            continue
        for node in reversed(walk(forward)):
            pair = m.matches(node, m.Return(value=m.Tuple(elements=[m.Element(), m.Element(~_NONE)])))
            if pair:
                value = cst.ensure_type(cst.ensure_type(node, cst.Return).value, cst.Tuple).elements[1].value
                return (
                    _assigned(program, forward, value.value) if isinstance(value, cst.Name) else _plain(value)
                )
    return None


def add_to_loss(patch: Patch, loss: Loss, term: str) -> None:
    """Add a term to the loss."""
    if not loss.name:
        patch.change(loss.node, lambda updated: patch.expression(f"{{loss}} + {term}", loss=updated))
    elif loss.may_be_none:
        patch.after(loss.node, f"if {loss.name} is not None:\n    {loss.name} = {loss.name} + {term}")
    else:
        patch.after(loss.node, f"{loss.name} = {loss.name} + {term}")


def take_from_loss(program: Program, attribute: str) -> Patch | None:
    """Take away the term that reads an attribute; None unless there is one such line or summand."""
    lines = [
        line
        for line in program.all(cst.SimpleStatementLine)
        if program.function_of(line) is not None and _adds(line, attribute)
    ]
    patch = Patch(program)
    if len(lines) != 1:
        return None
    total = _sum(lines[0], attribute)
    pair = assigned(lines[0])
    if total is None:
        return None
    if pair is not None and dotted(pair[0]) is not None and dotted(pair[0]) == dotted(total.left):
        patch.remove(lines[0])
    else:
        patch.change(total, lambda updated: updated.left)
    return patch


def _embeds(owner: Class) -> bool:
    return owner.init is not None and "Embedding(" in text(owner.init)


def _plain(value: cst.BaseExpression) -> Loss | None:
    return Loss(value, "", False) if isinstance(value, (cst.Call, cst.BinaryOperation)) else None


def _assigned(program: Program, forward: cst.FunctionDef, name: str) -> Loss | None:
    """Return the last statement that touches a variable, in the block where it first gets a value."""
    first = None
    for node in walk(forward):
        pair = assigned(node)
        if first is None and pair is not None and dotted(pair[0]) == name and not m.matches(pair[1], _NONE):
            first = node
    block = program.parents[first] if first is not None else None
    if first is None or not isinstance(block, cst.IndentedBlock):
        return None
    last = [statement for statement in block.body if name in _bound(statement)][-1]
    pair = assigned(first)
    return Loss(last, name, pair is not None and "None" in names(pair[1]))


def _bound(statement: cst.CSTNode) -> set[str]:
    added = {dotted(node.target) or "" for node in walk(statement) if isinstance(node, cst.AugAssign)}
    return bound_names(statement) | added


def _adds(line: cst.CSTNode, attribute: str) -> bool:
    return _sum(line, attribute) is not None


def _sum(line: cst.CSTNode, attribute: str) -> cst.BinaryOperation | None:
    """Return the innermost sum whose right side reads an attribute."""
    found = None
    for node in walk(line):
        if m.matches(node, m.BinaryOperation(operator=m.Add())):
            total = cst.ensure_type(node, cst.BinaryOperation)
            found = total if attribute in names(total.right) else found
    return found
