"""The tensors inside a model's layers whose width is known, and how to put something learned around one."""

from collections.abc import Iterator
from dataclasses import dataclass

import libcst as cst

from operators.syntax.layers import Layer, layers
from operators.syntax.norms import norms, takes_settings
from operators.syntax.patch import Patch
from operators.syntax.program import Class, Program
from operators.syntax.residual import sublayers
from operators.syntax.stack import block_class
from operators.syntax.tree import names, walk

_LOOSER = (cst.Attribute, cst.BinaryOperation, cst.UnaryOperation, cst.Subscript, cst.Comparison)


@dataclass(frozen=True, eq=False)
class Tensor:
    """Hold what goes into a layer or comes out of it, wherever `forward` runs that layer."""

    layer: Layer
    out: bool
    nodes: list[cst.BaseExpression]

    @property
    def owner(self) -> Class:
        return self.layer.owner

    @property
    def site(self) -> str:
        return f"{self.owner.name}:{self.layer.name}.{'out' if self.out else 'in'}"

    @property
    def width(self) -> str:
        """Return an expression for its last dimension that holds at the end of `__init__`."""
        if self.layer.kind == "embedding":
            return f"{self.layer.path}.embedding_dim"
        return f"{self.layer.path}.{'out' if self.out else 'in'}_features"

    def attribute(self, what: str) -> str | None:
        """Return a name for something learned here: c_fc_scale, c_proj_in_scale; None if it is taken."""
        name = f"{self.layer.name}_{what}" if self.out else f"{self.layer.name}_in_{what}"
        return name if name not in names(self.owner.node) else None


def tensors(program: Program) -> Iterator[Tensor]:
    """Yield the tensors around linear layers and the token embedding.

    Left out are what a norm or another layer just gave or its caller normalised, positions, which come and
    go as a whole, and logits, which are as many as there are tokens.
    """
    for layer in layers(program):
        if layer.owner.init is None or not layer.calls or any(len(call.args) != 1 for call in layer.calls):
            continue
        if layer.kind == "embedding" and _looks_up_tokens(layer):
            yield Tensor(layer, True, list(layer.calls))
        if layer.kind == "linear" and not is_head(program, layer):
            inputs = [call.args[0].value for call in layer.calls]
            if not any(_is_fresh(program, layer, node) for node in inputs):
                yield Tensor(layer, False, inputs)
            yield Tensor(layer, True, list(layer.calls))


def is_head(program: Program, layer: Layer) -> bool:
    """Tell whether a linear layer stands in the class that looks tokens up, and so makes the logits."""
    return layer.kind == "linear" and any(
        other.kind == "embedding" and other.owner is layer.owner for other in layers(program)
    )


def ends_sublayer(program: Program, layer: Layer) -> bool:
    """Tell whether a layer is the last linear one of a sublayer, so that its output goes into the stream."""
    block = block_class(program)
    branches = sublayers(program, block).values() if block is not None else ()
    if not any(branch is not None and branch.name == layer.owner.name for branch in branches):
        return False
    others = [other for other in layers(program) if other.owner is layer.owner and other.kind == "linear"]
    last = max(others, key=lambda other: max((_rank(program, call) for call in other.calls), default=(-1, 0)))
    return last is layer


def _rank(program: Program, call: cst.Call) -> tuple[int, int]:
    """Order calls as they happen: by statement, and inner ones first."""
    line = program.line_of(call)
    assert line is not None, "a call in forward stands in a statement"
    return program.nodes.index(line), -len(list(program.above(call)))


def _looks_up_tokens(layer: Layer) -> bool:
    forward = layer.owner.methods["forward"]
    tokens = forward.params.params[1].name.value if len(forward.params.params) > 1 else ""
    return all(tokens in names(call.args[0]) and len(walk(call.args[0].value)) == 1 for call in layer.calls)


def _is_fresh(program: Program, layer: Layer, node: cst.BaseExpression) -> bool:
    """Tell whether a tensor is a layer's or norm's output, or is given to `forward` as it is."""
    if isinstance(node, cst.Call):
        known = {call for other in layers(program) for call in other.calls if other.kind != "elementwise"}
        return node in known or "norm" in str(names(node.func))
    given = {param.name.value for param in layer.owner.methods["forward"].params.params}
    return isinstance(node, cst.Name) and node.value in given and not _rebound_above(program, layer, node)


def _rebound_above(program: Program, layer: Layer, node: cst.Name) -> bool:
    """Tell whether a statement above the one that reads a parameter gives it another value."""
    here = program.line_of(node)
    for statement in walk(layer.owner.methods["forward"]):
        if statement is here:
            return False
        if isinstance(statement, cst.AssignTarget) and node.value in names(statement.target):
            return True
    return False


def wrapped(program: Program, node: cst.BaseExpression, whole: cst.BaseExpression) -> cst.BaseExpression:
    """Put an operation in the place of its operand, in parentheses where it stands in another operation."""
    if isinstance(program.parents[node], _LOOSER):
        return whole.with_changes(lpar=[cst.LeftParen()], rpar=[cst.RightParen()])
    return whole


def norm_layer(program: Program, patch: Patch, kind: str, width: str) -> str:
    """Write a layer that normalises: the file's own where its size is all that it needs, or else torch's."""
    for norm in norms(program):
        owner = norm.owner
        sized = owner is not None and len(_required(owner)) == 1 and not takes_settings(owner)
        if norm.kind == kind and sized:
            return f"{norm.spelled}({width})"
    name = {"rmsnorm": "RMSNorm", "layernorm": "LayerNorm"}[kind]
    return f"{patch.spell(f'torch.nn.{name}')}({width}, eps=1e-5)"


def _required(owner: Class) -> list[str]:
    """Return the arguments after self that `__init__` cannot do without."""
    params = owner.init.params.params[1:] if owner.init is not None else ()
    return [param.name.value for param in params if param.default is None]
