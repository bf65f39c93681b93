"""Put a gate into a feed-forward layer, or take it out, with edits inside its class."""

from fractions import Fraction
from itertools import count
from typing import cast

import libcst as cst

from operators.syntax.attention import bound_names
from operators.syntax.feedforward import Applied, FeedForward, Layer, feed_forwards
from operators.syntax.patch import Patch
from operators.syntax.program import Class, Program
from operators.syntax.sequential import UNITS
from operators.syntax.tree import dotted, leaf, names, text, walk
from operators.syntax.widths import Rewidened, scaled

_CALLS = {
    "sigmoid": ("torch.sigmoid", "{f}({x})"),
    "relu": ("torch.nn.functional.relu", "{f}({x})"),
    "gelu": ("torch.nn.functional.gelu", "{f}({x})"),
    "silu": ("torch.nn.functional.silu", "{f}({x})"),
    "relu2": ("torch.nn.functional.relu", "{f}({x}).square()"),
}


def with_gate(program: Program, layer: FeedForward, factor: Fraction) -> Patch | None:
    """Multiply the activated tensor by a second projection of the input, whose activation it becomes.

    The hidden width is scaled by `factor`. None where that cannot be written, or the input has no name.
    """
    up, function = layer.up, program.function_of(layer.activated.whole)
    widths = scaled(program, layer.hidden, factor)
    if function is None or widths is None:
        return None
    patch, bound = Patch(program), _bound(function)
    source = _named_source(program, patch, layer, bound)
    if source is None:
        return None
    widths.put(patch)
    name = _gate_name(layer)
    _add_layer(program, patch, up.layer, name, widths)
    func = cst.ensure_type(up.call.func, cst.Attribute).with_changes(attr=cst.Name(name))
    gate: cst.BaseExpression = cst.Call(func, [cst.Arg(source)])
    if up.line is not None:
        local = _free("gate", bound)
        patch.before(up.line, f"{local} = {text(gate)}")
        gate = cst.Name(local)
    whole, operand = layer.activated.whole, layer.activated.operand
    value = up.call.with_changes(args=[cst.Arg(source)]) if up.line is None else operand
    product = patch.expression("{a} * {b}", a=_with(whole, operand, gate), b=value)
    if isinstance(program.parents[whole], (cst.BinaryOperation, cst.UnaryOperation, cst.Attribute)):
        product = product.with_changes(lpar=[cst.LeftParen()], rpar=[cst.RightParen()])
    patch.change(whole, lambda updated: product)
    return patch


def without_gate(program: Program, layer: FeedForward, factor: Fraction) -> Patch | None:
    """Activate what was gated, and drop the projection that gated it; None if anything else uses that."""
    gate, product, owner = layer.gate, layer.product, layer.owner
    assert gate is not None, "only a gated layer is given"
    assert product is not None, "a gate is a factor of a product"
    widths = scaled(program, layer.hidden, factor)
    uses = [node for node in program.all(cst.Attribute) if leaf(node) == gate.layer.name]
    mine = [node for node in uses if program.class_of(node) is owner]
    if widths is None or len(mine) != (2 if isinstance(gate.layer.place, cst.SimpleStatementLine) else 1):
        return None
    if gate.line is not None and not _read_once(program, gate):
        return None
    patch = Patch(program)
    widths.put(patch)
    whole, operand = layer.activated.whole, layer.activated.operand
    other = product.right if product.left is whole else product.left
    plain = patch.expression("{a}", a=_with(whole, operand, other))
    if layer.activated.kind == "sigmoid":  # squashes too much without its partner
        plain = patch.expression(f"{patch.spell('torch.nn.functional.gelu')}({{x}})", x=other)
    patch.change(product, lambda updated: plain.with_changes(lpar=product.lpar, rpar=product.rpar))
    if gate.line is not None:
        patch.remove(gate.line)
    _drop_layer(program, patch, gate.layer)
    _rename(program, patch, owner, "MLP" if "MLP" not in program.bound() else "FeedForward")
    return patch


def with_activation(program: Program, layer: FeedForward, kind: str) -> Patch | None:
    """Call another function where the layer is activated; None where a module does that which has to stay."""
    whole, operand = layer.activated.whole, layer.activated.operand
    patch = Patch(program)
    if layer.activated.kind == "act":
        return None  # chosen by name from a table
    if isinstance(whole, cst.Call) and whole.args and operand is whole.args[0].value:
        name = leaf(whole.func)
        made = [line for attribute, line, _ in layer.owner.own() if attribute == name]
        uses = [node for node in walk(layer.owner.node) if isinstance(node, cst.Attribute)]
        if made:
            if len(made) != 1 or sum(leaf(node) == name for node in uses) != 2:
                return None
            patch.remove(made[0])
        elif dotted(whole.func) is not None and not _is_function(program, whole.func):
            return None
    function, template = _CALLS[kind]
    spelled = patch.spell(function)
    patch.change(whole, lambda updated: patch.expression(template.replace("{f}", spelled), x=operand))
    if layer.gate is not None:
        _rename(program, patch, layer.owner, next(unit for unit, own in UNITS.items() if own == kind))
    patch.helper(*(name for name in names(layer.owner.node) if name in program.classes))
    return patch


def same_again(program: Program, layer: FeedForward, changed: Program) -> FeedForward | None:
    """Return what became of a layer in a program whose activation functions have changed."""
    before = [one for one in feed_forwards(program) if one.owner is layer.owner]
    after = [one for one in feed_forwards(changed) if one.owner.name == layer.owner.name]
    return after[before.index(layer)] if len(after) == len(before) else None


def _is_function(program: Program, func: cst.BaseExpression) -> bool:
    name = program.qualified(func) or ""
    return name.startswith("torch.") or name in program.functions


def _with(
    whole: cst.BaseExpression, operand: cst.BaseExpression, other: cst.BaseExpression
) -> cst.BaseExpression:
    return cast(cst.BaseExpression, whole.deep_replace(operand, other))


def _gate_name(layer: FeedForward) -> str:
    """Name a gate in the manner of the layer beside it: c_gate for c_fc, gate_proj for up_proj."""
    up = layer.up.layer.name
    if "up" in up.split("_"):
        wanted = "_".join("gate" if part == "up" else part for part in up.split("_"))
    else:
        wanted = "c_gate" if up.startswith("c_") else "gate_proj" if up.endswith("_proj") else "gate"
    taken = names(layer.owner.node)
    return wanted if wanted not in taken else _free(f"{up}_gate", taken)


def _bound(function: cst.FunctionDef) -> set[str]:
    return bound_names(function) | {param.name.value for param in function.params.params}


def _free(wanted: str, taken: set[str]) -> str:
    numbered = (f"{wanted}{number}" for number in count(2))
    return wanted if wanted not in taken else next(name for name in numbered if name not in taken)


def _named_source(
    program: Program, patch: Patch, layer: FeedForward, bound: set[str]
) -> cst.BaseExpression | None:
    """Return what the layer takes in, by a name: what has none is computed once, on a line above."""
    call, line = layer.up.call, layer.up.line or program.line_of(layer.activated.whole)
    source = call.args[0].value
    if dotted(source) is not None:
        return source
    if program.nearest(call, cst.Lambda) is not None or line is None:
        return None
    name = _free("h", bound)
    patch.before(line, f"{name} = {text(source)}")
    patch.replace(source, name)
    return cst.Name(name)


def _add_layer(program: Program, patch: Patch, up: Layer, name: str, widths: Rewidened) -> None:
    """Make a second layer like `up`, right below it."""
    if isinstance(up.place, cst.SimpleStatementLine):
        target = f"self.{name}".ljust(_aligned(up.place))
        patch.after(up.place, f"{target} = {widths.text(up.call)}")
        return
    entry, longer = up.place, len(name) - len(up.name)

    def entries(updated: cst.Call) -> cst.Call:
        at = list(cst.ensure_type(program.parents[entry], cst.Call).args).index(entry)
        spaces = getattr(entry.equal, "whitespace_before", cst.SimpleWhitespace(""))
        padded = cst.SimpleWhitespace(spaces.value[longer:] if longer > 0 else spaces.value)
        equal = cst.AssignEqual(padded, getattr(entry.equal, "whitespace_after", padded))
        twin = updated.args[at].with_changes(keyword=cst.Name(name), equal=equal)
        return updated.with_changes(args=[*updated.args[: at + 1], twin, *updated.args[at + 1 :]])

    patch.change(program.parents[entry], entries)


def _aligned(line: cst.SimpleStatementLine) -> int:
    """Return how wide a target is, with what a file that lines up its assignments puts after it."""
    small = line.body[0]
    if not isinstance(small, cst.Assign):
        return 0
    spaces = small.targets[0].whitespace_before_equal.value
    return len(text(small.targets[0].target)) + len(spaces) - 1 if len(spaces) > 1 else 0


def _drop_layer(program: Program, patch: Patch, layer: Layer) -> None:
    if isinstance(layer.place, cst.SimpleStatementLine):
        patch.remove(layer.place)
        return
    at = list(cst.ensure_type(program.parents[layer.place], cst.Call).args).index(layer.place)
    patch.change(
        program.parents[layer.place],
        lambda updated: updated.with_changes(args=[*updated.args[:at], *updated.args[at + 1 :]]),
    )


def _read_once(program: Program, gate: Applied) -> bool:
    function = program.function_of(gate.call)
    target = cst.ensure_type(gate.line, cst.SimpleStatementLine).body[0]
    (name,) = bound_names(target) or {""}
    return function is not None and len(program.reads(function, name)) == 1


def _rename(program: Program, patch: Patch, owner: Class, name: str) -> None:
    """Let a class named for its gate be named for what it is, and its docstring say no more of gates."""
    if owner.name not in UNITS or name in program.bound():
        return
    for node in program.all(cst.Name):
        if node.value == owner.name:
            patch.rename(node, name)
    docstring = owner.node.get_docstring() if name not in UNITS else None
    if docstring is not None and "gate" in docstring.lower():
        first = next(node for node in walk(owner.node) if isinstance(node, cst.Expr))
        patch.replace(first.value, '"""Feed-forward layer."""')
