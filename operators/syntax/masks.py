"""Tell what kind an attention mask is: truth values that say where to look, or numbers to add to scores."""

import re

import libcst as cst
import libcst.matchers as m

from operators.syntax.program import Class, Program
from operators.syntax.tree import argument, assigned, leaf, self_attribute, text, walk

_SAME = (
    "tril", "triu", "view", "reshape", "unsqueeze", "squeeze", "expand", "expand_as", "repeat", "contiguous",
    "transpose", "clone", "detach", "narrow", "Buffer", "Parameter", "flip",
)  # fmt: skip
_MADE = ("ones", "zeros", "full", "empty", "ones_like", "zeros_like", "full_like", "new_ones", "new_zeros")
_NUMBERS = ("masked_fill", "where", "float", "half", "bfloat16", "log", "add", "mul")
_FLOATING = re.compile(r"float|half|dtype")
_DEEPEST = 12


def is_boolean(program: Program, node: cst.BaseExpression, depth: int = 0) -> bool | None:
    """Tell whether an expression is a mask of truth values; None where the source does not say."""
    if depth > _DEEPEST:
        return None
    if isinstance(node, cst.Comparison):
        return True
    if isinstance(node, cst.UnaryOperation):
        return isinstance(node.operator, (cst.BitInvert, cst.Not))
    if isinstance(node, cst.BinaryOperation):
        return isinstance(node.operator, (cst.BitAnd, cst.BitOr, cst.BitXor))
    if isinstance(node, cst.Subscript):
        return is_boolean(program, node.value, depth + 1)
    if isinstance(node, cst.Call):
        return _result_is_boolean(program, node, depth + 1)
    found = _meanings(program, node)
    kinds = {is_boolean(program, value, depth + 1) for value in found}
    return kinds.pop() if len(kinds) == 1 else None


def _result_is_boolean(program: Program, call: cst.Call, depth: int) -> bool | None:
    name, given = leaf(call.func), " ".join(text(arg) for arg in call.args)
    if name == "bool" or name.startswith(("logical_", "is")):
        return True
    if "torch.bool" in given:
        return True
    if name in _NUMBERS or name in _MADE or (name in ("to", "type") and _FLOATING.search(given)):
        return False
    if name in (*_SAME, "to") and isinstance(call.func, cst.Attribute):
        module = (program.qualified(call.func) or "").startswith("torch.")
        first = argument(call, 0, "input")
        inner = (first.value if first else None) if module else call.func.value
        return is_boolean(program, inner, depth) if inner is not None else None
    kinds = {is_boolean(program, value, depth) for value in _returned(program, call)}
    return kinds.pop() if len(kinds) == 1 else None


def _meanings(program: Program, node: cst.BaseExpression) -> list[cst.BaseExpression]:
    """Return what a variable, or an attribute of self, is assigned."""
    if isinstance(node, cst.Name):
        lines = walk(program.function_of(node) or program.module)
        pairs = [pair for pair in map(assigned, lines) if pair is not None]
        return [value for target, value in pairs if m.matches(target, m.Name(node.value))]
    name, owner = self_attribute(node), program.class_of(node)
    if name is None or owner is None:
        return []
    return [value for own, _, value in owner.own() if own == name] + _buffers(owner, name)


def _buffers(owner: Class, name: str) -> list[cst.BaseExpression]:
    """Return what `self.register_buffer("name", …)` is given."""
    found = []
    for node in walk(owner.node):
        if isinstance(node, cst.Call) and leaf(node.func) == "register_buffer" and len(node.args) > 1:
            key = node.args[0].value
            if isinstance(key, cst.SimpleString) and key.evaluated_value == name:
                found.append(node.args[1].value)
    return found


def _returned(program: Program, call: cst.Call) -> list[cst.BaseExpression]:
    """Return what a method of self, a layer of the file's own classes, or a function of the file returns."""
    owner, name = program.class_of(call), self_attribute(call.func)
    function = program.functions.get(leaf(call.func))
    if owner is not None and name is not None:
        made = [value for own, _, value in owner.own() if own == name and isinstance(value, cst.Call)]
        layer = program.classes.get(leaf(made[0].func)) if made else None
        function = owner.methods.get(name) if layer is None else layer.methods.get("forward")
    below = walk(function) if function is not None else []
    return [node.value for node in below if isinstance(node, cst.Return) and node.value is not None]
