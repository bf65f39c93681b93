"""Scale one number in the model's source: a standard deviation, an epsilon, a multiplier, a default.

It knows nothing of what the number is for, only where numbers are shapes, indexes or bookkeeping and are best
left alone.
"""

from collections.abc import Iterator
from functools import partial

import libcst as cst
import libcst.matchers as m

from operators.operator import Example, ModelOperator, Offer, place, sentence
from operators.source import Edit
from operators.syntax.experiment import Experiment
from operators.syntax.patch import Patch
from operators.syntax.program import Program
from operators.syntax.tree import argument, assigned, leaf, names, number

_FACTORS = {"x0.5": 0.5, "x0.7": 0.7, "x1.4": 1.4, "x2": 2.0}
_TINY_FACTORS = {"x0.1": 0.1, "x10": 10.0}
_TINY = 1e-3
_Number = cst.Float | cst.Integer
_BOOKKEEPING = (
    "generate",
    "sample",
    "from_pretrained",
    "mfu",
    "flops",
    "bytes",
    "optim",
    "num_params",
    "crop",
)
_SHAPES = (
    "view", "reshape", "split", "chunk", "transpose", "permute", "size", "expand", "repeat", "arange",
    "narrow", "unsqueeze", "squeeze", "unflatten", "flatten", "zeros", "ones", "range", "full", "topk",
    "print", "Linear", "Embedding", "tensor_split", "int", "round", "ceil", "floor",
)  # fmt: skip
_MADE = {"Linear", "Embedding", "Parameter", "ParameterDict", "ParameterList"}
_SHARES = ("dropout", "drop", "p", "beta", "momentum", "pdrop")  # sense only below 1


class PerturbLiteral(ModelOperator):
    name = "perturb_literal"
    family = "generic"
    summary = "Scale one numeric literal: by 0.5, 0.7, 1.4 or 2, tiny ones by 0.1 or 10."
    preserves = frozenset({"shapes", "parameter_count"})
    examples = (
        Example(
            "import torch.nn as nn\n\ndef init(p):\n    nn.init.normal_(p, std=0.02)  # as GPT-2\n",
            "import torch.nn as nn\n\ndef init(p):\n    nn.init.normal_(p, std=0.04)  # as GPT-2\n",
            "x2",
        ),
        Example("def last(x):\n    return x.view(4, 16)[:, -1].transpose(0, 1)\n"),
        Example("def generate(model, idx, temperature=0.8):\n    return model(idx) / temperature\n"),
    )

    def words(self, edit: Edit) -> str:
        where, old = place(edit.site)
        return sentence(f"scale {old} ×{edit.variant[1:]} in {where}")

    def find(self, program: Program, experiment: Experiment) -> Iterator[Offer]:
        for node in _numbers(program):
            value = number(node)
            if not value or not _is_free(program, experiment, node):
                continue
            for variant, factor in (_TINY_FACTORS if abs(value) < _TINY else _FACTORS).items():
                if not (_is_share(program, node) and value * factor >= 1):
                    yield Offer(
                        variant,
                        f"{_place(program, node)}:{node.value}",
                        partial(_scaled, program, node, factor),
                    )


def _numbers(program: Program) -> list[_Number]:
    return [*program.all(cst.Float), *program.all(cst.Integer)]


def _place(program: Program, node: _Number) -> str:
    """Name where a number stands, down to the field or parameter that it is the default of."""
    parent = program.parents[node]
    if isinstance(parent, (cst.AnnAssign, cst.Param)):
        name = leaf(parent.target if isinstance(parent, cst.AnnAssign) else parent.name)
        return f"{program.home(node)}.{name}"
    return program.home(node)


def _is_free(program: Program, experiment: Experiment, node: _Number) -> bool:
    """Tell whether a number may change without breaking a shape, and with an effect on training."""
    if "theta" in _place(program, node):
        return False  # the rotary base belongs to `position`
    for parent in program.above(node):
        if isinstance(parent, (cst.Subscript, cst.Annotation, cst.Comparison, cst.Assert)):
            return False
        if isinstance(parent, cst.Call) and leaf(parent.func) in _SHAPES:
            return False
        if isinstance(parent, cst.FunctionDef) and any(word in parent.name.value for word in _BOOKKEEPING):
            return False
        if isinstance(parent, cst.Param) and not _is_default_used(program, parent):
            return False
        if isinstance(parent, cst.AnnAssign) and _is_set(program, experiment, parent):
            return False
    if _is_exponent(program, node):
        return False
    if program.home(node) == "module":
        return _is_setting(program, node)
    return isinstance(node, cst.Float) or _multiplies_activations(program, node)


def _is_exponent(program: Program, node: _Number) -> bool:
    """Tell whether something is raised to this whole power: of what is negative, others are not real."""
    parent = program.parents[node]
    call = program.parents[parent] if isinstance(parent, cst.Arg) else None
    raised = (
        isinstance(parent, cst.BinaryOperation)
        and isinstance(parent.operator, cst.Power)
        and parent.right is node
    )
    called = isinstance(call, cst.Call) and leaf(call.func) == "pow"
    return (raised or called) and float(number(node) or 0).is_integer()


def _is_setting(program: Program, node: _Number) -> bool:
    """Tell whether a number outside functions and classes is a named one that some class reads."""
    pair = assigned(program.line_of(node) or node)
    if pair is None or pair[1] is not node or not isinstance(node, cst.Float):
        return False
    return any(program.reads(owner.node, leaf(pair[0])) for owner in program.classes.values())


def _multiplies_activations(program: Program, node: cst.Integer) -> bool:
    """Tell whether a whole number scales a tensor: an operand of `*` or `/` in `forward` or a function.

    In a function that makes layers or parameters it is more likely part of a size.
    """
    function = program.function_of(node)
    product = m.matches(program.parents[node], m.BinaryOperation(operator=m.Multiply() | m.Divide()))
    return (
        product
        and function is not None
        and (function.name.value == "forward" or function.name.value in program.functions)
        and not _MADE & names(function)
    )


def _is_set(program: Program, experiment: Experiment, field: cst.AnnAssign) -> bool:
    """Tell whether a field's default is moot because the experiment gives it, or nothing reads it."""
    name = leaf(field.target)
    return experiment.sets(name) or not any(use.attr.value == name for use in program.all(cst.Attribute))


def _is_default_used(program: Program, param: cst.Param) -> bool:
    """Tell whether any maker of a class leaves this argument of `__init__` to its default."""
    owner, function = program.class_of(param), program.function_of(param)
    if owner is None or function is not owner.init or function is None:
        return True
    at = owner.parameters().index(param.name.value) if param.name.value in owner.parameters() else 0
    calls = [call for call in program.all(cst.Call) if leaf(call.func) == owner.name]
    return not calls or any(argument(call, at, param.name.value) is None for call in calls)


def _is_share(program: Program, node: cst.CSTNode) -> bool:
    """Tell whether a number is a probability or decay by the name that it is given."""
    parent = program.parents[node]
    if isinstance(parent, cst.Call):
        return "dropout" in leaf(parent.func).lower()
    given = (
        getattr(parent, "keyword", None) or getattr(parent, "name", None) or getattr(parent, "target", None)
    )
    name = leaf(given).lower() if isinstance(given, cst.CSTNode) else ""
    return any(part in _SHARES for part in name.split("_"))


def _scaled(program: Program, node: _Number, factor: float) -> str:
    patch = Patch(program)
    patch.replace(node, _literal((number(node) or 0) * factor, node))
    return patch.code()


def _literal(value: float, like: _Number) -> str:
    """Write a number with 3 significant digits in the manner of another: 1e-05 as 1e-5, whole ones whole."""
    value = float(f"{value:.3g}")
    if isinstance(like, cst.Integer) and value.is_integer():
        return str(int(value))
    if "e" not in like.value.lower():
        return repr(value)
    mantissa, exponent = f"{value:.2e}".split("e")
    mantissa = mantissa.rstrip("0").rstrip(".")
    return f"{mantissa}e{int(exponent)}"


OPERATOR = PerturbLiteral()
