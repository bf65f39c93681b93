"""Find feed-forward layers: a linear layer into an activation, gated or not, and a linear layer back."""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

import libcst as cst
import libcst.matchers as m

from operators.syntax.activations import Activated, Activator, activated, activators, local_activations
from operators.syntax.attention import attentions
from operators.syntax.program import Class, Program
from operators.syntax.tree import argument, assigned, leaf, number, self_attribute, walk
from operators.syntax.widths import Width, read_width, value_of

_BY_NAME = ("act", "act_fn", "act_func", "activation", "activation_fn", "nonlinearity")
_SIGMOIDS = ("torch.sigmoid", "torch.nn.functional.sigmoid")


@dataclass(frozen=True)
class Layer:
    """Hold a linear layer: its attribute, the call that makes it, and the line or argument around that."""

    name: str
    call: cst.Call
    place: cst.SimpleStatementLine | cst.Arg

    @property
    def sizes(self) -> list[cst.BaseExpression]:
        """Return the arguments that give the width it takes in and the width it puts out, as far as given."""
        return [arg.value for arg in linear_sizes(self.call) if arg is not None]


@dataclass(frozen=True)
class Applied:
    """Hold where a layer is applied: the call, and the line that gives its result a name, if one does."""

    layer: Layer
    call: cst.Call
    line: cst.SimpleStatementLine | None


@dataclass(frozen=True)
class FeedForward:
    """Hold one feed-forward layer of a class; `gate` and `product` are None where it is not gated."""

    owner: Class
    up: Applied
    activated: Activated
    hidden: Width
    gate: Applied | None
    product: cst.BinaryOperation | None

    @property
    def site(self) -> str:
        return f"{self.owner.name}:{'gated-' if self.gate is not None else ''}{self.activated.kind}"


@lru_cache(maxsize=32)
def feed_forwards(program: Program) -> tuple[FeedForward, ...]:
    """Return every feed-forward layer that a class makes of linear layers of its own, in order."""
    attending = {attention.owner for attention in attentions(program)}
    applications = list(_applications(program))
    found: list[FeedForward] = []
    for owner in program.classes.values():
        layers = linear_layers(owner) if owner not in attending else {}
        for application in applications if layers else ():
            if program.class_of(application.whole) is owner:
                found += _read(program, owner, layers, application)
    return tuple(found)


def linear_layers(owner: Class) -> dict[str, Layer]:
    """Return the linear layers that a class makes, as attributes or as entries of a ModuleDict."""
    places: list[tuple[str, cst.BaseExpression, cst.SimpleStatementLine | cst.Arg]]
    places = [(name, value, line) for name, line, value in owner.own()]
    for node in walk(owner.init) if owner.init is not None else ():
        if isinstance(node, cst.Call) and m.matches(node.func, m.Name("dict")):
            places += [(arg.keyword.value, arg.value, arg) for arg in node.args if arg.keyword is not None]
    return {
        name: Layer(name, value, place)
        for name, value, place in places
        if isinstance(value, cst.Call) and is_linear(value)
    }


def is_linear(call: cst.Call) -> bool:
    """Tell by its name whether a call makes a linear layer."""
    return "linear" in leaf(call.func).lower() or leaf(call.func) == "Conv1D"


def linear_sizes(call: cst.Call) -> tuple[cst.Arg | None, cst.Arg | None]:
    """Return the arguments that give the width taken in and that put out; Conv1D has them in reverse."""
    if leaf(call.func) == "Conv1D":
        return argument(call, 1, "nx"), argument(call, 0, "nf")
    return argument(call, 0, "in_features"), argument(call, 1, "out_features")


@lru_cache(maxsize=32)
def activation_makers(program: Program) -> tuple[Activator, ...]:
    """Return what stands for an activation function without applying it."""
    return tuple(activators(program, local_activations(program)))


def _applications(program: Program) -> Iterator[Activated]:
    """Yield where a tensor is activated: by a function, or by a module that the class holds."""
    yield from activated(program, local_activations(program))
    kinds = {_label(program, made.node): made.kind for made in activation_makers(program)}
    for call in program.all(cst.Call):
        if len(call.args) != 1 or call.args[0].star:
            continue
        name, operand = leaf(call.func), call.args[0].value
        if program.qualified(call.func) in _SIGMOIDS:
            yield Activated("sigmoid", call, operand)
        elif (name in kinds or name in _BY_NAME) and _is_attribute(program, call.func):
            yield Activated(kinds.get(name, "act"), call, operand)


def _is_attribute(program: Program, func: cst.BaseExpression) -> bool:
    """Tell `self.gelu` from `F.gelu`."""
    return isinstance(func, cst.Attribute) and not (program.qualified(func) or "").startswith("torch.")


def _label(program: Program, node: cst.CSTNode) -> str:
    """Return the attribute or entry that an expression becomes."""
    parent = program.parents[node]
    if isinstance(parent, cst.Arg) and parent.keyword is not None:
        return parent.keyword.value
    pair = assigned(program.line_of(node) or node)
    return leaf(pair[0]) if pair and pair[1] is node else ""


def _read(
    program: Program, owner: Class, layers: dict[str, Layer], application: Activated
) -> Iterator[FeedForward]:
    inner = _applied(program, layers, application.operand, application.whole)
    if inner is None:
        return
    product = _gating(program, application.whole)
    other = _other(program, layers, product, application.whole) if product is not None else None
    if product is not None and other is None:
        return  # gated in a manner not known here
    up, gate = (inner, None) if other is None else (other, inner)
    hidden = _hidden(program, layers, up.layer, application.whole if product is None else product)
    if hidden is None or (gate is not None and _values(program, up.layer) != _values(program, gate.layer)):
        return
    yield FeedForward(owner, up, application, hidden, gate, product)


def _gating(program: Program, whole: cst.BaseExpression) -> cst.BinaryOperation | None:
    """Return the product that an activated tensor is a factor of; scaling it does not count."""
    parent = program.parents[whole]
    if not (isinstance(parent, cst.BinaryOperation) and isinstance(parent.operator, cst.Multiply)):
        return None
    other = parent.right if parent.left is whole else parent.left
    return None if number(other) is not None or self_attribute(other) else parent


def _other(
    program: Program, layers: dict[str, Layer], product: cst.BinaryOperation, whole: cst.BaseExpression
) -> Applied | None:
    other = product.right if product.left is whole else product.left
    return _applied(program, layers, other, product)


def _applied(
    program: Program, layers: dict[str, Layer], node: cst.BaseExpression, at: cst.CSTNode
) -> Applied | None:
    """Read `self.c_fc(x)`, or a name that a line above gave to it; None if it is neither."""
    if isinstance(node, cst.Call):
        layer = layers.get(leaf(node.func))
        alone = layer is not None and isinstance(node.func, cst.Attribute) and len(node.args) == 1
        return Applied(layer, node, None) if alone and layer is not None else None
    line = _definition(program, node.value, at) if isinstance(node, cst.Name) else None
    pair = assigned(line) if line is not None else None
    if line is None or pair is None or not isinstance(pair[1], cst.Call):
        return None
    direct = _applied(program, layers, pair[1], at)
    return Applied(direct.layer, direct.call, line) if direct is not None else None


def _definition(program: Program, name: str, at: cst.CSTNode) -> cst.SimpleStatementLine | None:
    """Return the nearest line above, in the same block, that touches a name."""
    line = program.line_of(at)
    block = program.parents.get(line) if line is not None else None
    if not isinstance(block, cst.IndentedBlock):
        return None
    for above in reversed(block.body[: list[cst.CSTNode | None](block.body).index(line)]):
        if any(isinstance(node, cst.Name) and node.value == name for node in _targets(above)):
            return above if isinstance(above, cst.SimpleStatementLine) else None
    return None


def _targets(statement: cst.CSTNode) -> Iterator[cst.CSTNode]:
    for node in walk(statement):
        if isinstance(node, (cst.AssignTarget, cst.AugAssign, cst.AnnAssign, cst.NamedExpr, cst.For)):
            yield from walk(node.target)


def _hidden(
    program: Program, layers: dict[str, Layer], up: Layer, activated: cst.BaseExpression
) -> Width | None:
    """Return the width that a layer puts out, if what is activated there is led back to where it began."""
    ends = _values(program, up)
    if len(ends) != 2 or ends[0] == ends[1]:
        return None
    for name, layer in layers.items():
        if _values(program, layer) == ends[::-1] and _follows(program, activated, name):
            return read_width(program, up.sizes[1])
    return None


def _follows(program: Program, activated: cst.BaseExpression, name: str) -> bool:
    """Tell whether a layer is applied to what an expression gives, or on a later line."""
    if any(isinstance(node, cst.Call) and leaf(node.func) == name for node in program.above(activated)):
        return True
    function = program.function_of(activated)
    nodes = walk(function) if function is not None else []
    calls = [isinstance(node, cst.Call) and leaf(node.func) == name for node in nodes]
    return any(calls[at] for at in range(nodes.index(activated), len(nodes))) if nodes else False


def _values(program: Program, layer: Layer) -> list[tuple[Fraction, str]]:
    """Return the widths that a layer takes in and puts out, as far as they can be read."""
    values = [value_of(program, node) for node in layer.sizes]
    return [value for value in values if value is not None] if len(values) == 2 else []
