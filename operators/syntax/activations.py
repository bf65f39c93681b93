"""Find the activation functions of a program, whatever they are spelled like.

`F.gelu(x)`, `nn.GELU()`, `torch.relu(x)`, `F.relu(x).square()`, a `NewGELU` class or a `gelu` function of the
file's own are recognised; `tanh` and `sigmoid` are not, since they serve as caps and gates more often.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import libcst as cst
import libcst.matchers as m

from operators.syntax.program import Program
from operators.syntax.tree import argument, text

_MODULES = {
    "GELU": "gelu", "ReLU": "relu", "SiLU": "silu", "Mish": "mish", "ELU": "elu", "LeakyReLU": "leaky-relu",
    "ReLU6": "relu6", "Hardswish": "hardswish", "SELU": "selu",
}  # fmt: skip
_FUNCTIONS = {f"torch.nn.functional.{name.lower()}": kind for name, kind in _MODULES.items()}
_FUNCTIONS |= {"torch.nn.functional.leaky_relu": "leaky-relu", "torch.relu": "relu"}
_LOCAL = {
    "gelu": "gelu", "newgelu": "tanh-gelu", "gelunew": "tanh-gelu", "fastgelu": "tanh-gelu",
    "newgeluactivation": "tanh-gelu", "tanhgelu": "tanh-gelu", "gelutanh": "tanh-gelu",
    "quickgelu": "quick-gelu", "quickgeluactivation": "quick-gelu", "relu": "relu", "silu": "silu",
    "swish": "silu", "mish": "mish", "relu2": "relu2", "squaredrelu": "relu2", "relusquared": "relu2",
    "sqrelu": "relu2",
}  # fmt: skip
_ELSEWHERE = (
    cst.Annotation,
    cst.ImportAlias,
    cst.ImportFrom,
    cst.Attribute,
    cst.ClassDef,
    cst.FunctionDef,
    cst.AssignTarget,
)


@dataclass(frozen=True)
class Activated:
    """Hold a call that activates a tensor: the whole expression, and the tensor inside."""

    kind: str
    whole: cst.BaseExpression
    operand: cst.BaseExpression


@dataclass(frozen=True)
class Activator:
    """Hold an expression that makes an activation module, or names a function or class that is one."""

    kind: str
    node: cst.BaseExpression
    called: bool  # nn.GELU(), rather than nn.GELU or F.gelu


def local_activations(program: Program) -> dict[str, str]:
    """Return the kind of each class or function in the file that is an activation by its name."""
    found = {}
    definitions = {name: owner.node for name, owner in program.classes.items()} | program.functions
    for name, node in definitions.items():
        kind = _LOCAL.get(name.replace("_", "").lower())
        code = text(node) if kind is not None else ""
        if kind is not None and "Parameter(" not in code and "Linear(" not in code:
            found[name] = "tanh-gelu" if kind == "gelu" and "tanh" in code else kind
    return found


def activated(program: Program, local: dict[str, str]) -> Iterator[Activated]:
    """Yield every call that applies an activation function, those inside the file's own activations aside."""
    for call in program.all(cst.Call):
        operand, kind = _operand(call), _kind_of_call(program, call, local)
        if operand is None or kind is None or program.owner(call) in local:
            continue
        square = _squared(program, call) if kind == "relu" else None
        yield Activated("relu2" if square is not None else kind, square or call, operand)


def activators(program: Program, local: dict[str, str]) -> Iterator[Activator]:
    """Yield every expression that stands for an activation without applying it."""
    for node in program.nodes:
        if not isinstance(node, (cst.Name, cst.Attribute)):
            continue
        parent = program.parents[node]
        call = parent if isinstance(parent, cst.Call) and parent.func is node else None
        if not _is_value(node, parent):
            continue
        kind = _kind_of_module(program, node, call, local)
        if kind is None and call is None:
            name = program.qualified(node) or ""
            kind = local.get(name) if name in program.functions else _FUNCTIONS.get(name)
        if kind is not None and program.owner(node) not in local and not _in_type_test(program, node):
            yield Activator(kind, call or node, call is not None)


def _is_value(node: cst.CSTNode, parent: cst.CSTNode) -> bool:
    """Tell whether a name is read here, rather than bound, imported, or part of a longer chain."""
    if isinstance(parent, cst.Arg):
        return parent.value is node
    if isinstance(parent, (cst.Param, cst.AnnAssign)):
        return node in (getattr(parent, "default", None), getattr(parent, "value", None))
    return not isinstance(parent, _ELSEWHERE)


def _operand(call: cst.Call) -> cst.BaseExpression | None:
    if isinstance(call.func, cst.Attribute) and call.func.attr.value == "relu" and not call.args:
        return call.func.value
    arg = argument(call, 0, "input")
    return arg.value if arg is not None else None


def _kind_of_call(program: Program, call: cst.Call, local: dict[str, str]) -> str | None:
    name = program.qualified(call.func) or ""
    if isinstance(call.func, cst.Attribute) and call.func.attr.value == "relu" and not call.args:
        return "relu"
    if name in program.functions:
        return local.get(name)
    kind = _FUNCTIONS.get(name)
    return "tanh-gelu" if kind == "gelu" and _approximates(call) else kind


def _kind_of_module(
    program: Program, node: cst.BaseExpression, call: cst.Call | None, local: dict[str, str]
) -> str | None:
    name = program.qualified(node) or ""
    if name in program.classes:
        return local.get(name)
    kind = _MODULES.get(name.removeprefix("torch.nn.")) if name.startswith("torch.nn.") else None
    return "tanh-gelu" if kind == "gelu" and call is not None and _approximates(call) else kind


def _approximates(call: cst.Call) -> bool:
    return any(arg.keyword is not None and "tanh" in text(arg.value) for arg in call.args)


def _squared(program: Program, call: cst.Call) -> cst.BaseExpression | None:
    """Return the expression that squares a call, if one does."""
    parent = program.parents[call]
    if isinstance(parent, cst.BinaryOperation):
        power = m.matches(parent, m.BinaryOperation(operator=m.Power(), right=m.Integer("2")))
        return parent if power and parent.left is call else None
    outer = program.parents.get(parent)
    if not isinstance(outer, cst.Call):
        return None
    if isinstance(parent, cst.Attribute):
        method = m.Attribute(attr=m.Name("square")), m.Attribute(attr=m.Name("pow"))
        squares = m.Call(func=method[0], args=[]) | m.Call(func=method[1], args=[m.Arg(m.Integer("2"))])
        return outer if m.matches(outer, squares) else None
    name = program.qualified(outer.func)
    power = name == "torch.pow" and m.matches(outer.args[-1].value, m.Integer("2"))
    return outer if power or name == "torch.square" else None


def _in_type_test(program: Program, node: cst.CSTNode) -> bool:
    return any(m.matches(parent, m.Call(func=m.Name("isinstance"))) for parent in program.above(node))
