"""Swap one elementwise function for another that nobody's menu of activations has: any of them, anywhere.

What `swap_activation` offers is left to it: it turns GELU, ReLU and SiLU into one another, this operator
turns them into something else, and gates into anything.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import libcst as cst
import libcst.matchers as m

from operators.operator import Example, ModelOperator, Offer, place, sentence
from operators.source import Edit
from operators.syntax.activations import activated, activators, local_activations
from operators.syntax.embeddings import held
from operators.syntax.experiment import Experiment
from operators.syntax.patch import Patch
from operators.syntax.program import Program
from operators.syntax.tree import argument, self_attribute, text, walk

_FUNCTIONS = {
    "gelu": "torch.nn.functional.gelu",
    "relu": "torch.nn.functional.relu",
    "sigmoid": "torch.sigmoid",
    "silu": "torch.nn.functional.silu",
    "softplus": "torch.nn.functional.softplus",
    "softsign": "torch.nn.functional.softsign",
    "tanh": "torch.tanh",
}
_MODULES = {
    "gelu": "GELU", "relu": "ReLU", "sigmoid": "Sigmoid", "silu": "SiLU", "softplus": "Softplus",
    "softsign": "Softsign", "tanh": "Tanh",
}  # fmt: skip
_SPELLINGS = {f"torch.{home}{name}": name for name in ("sigmoid", "tanh") for home in ("", "nn.functional.")}
_SPELLINGS |= {f"torch.nn.functional.{name}": name for name in ("softplus", "softsign")}
_MENU = ("gelu", "relu", "silu")  # of swap_activation, which reaches them from all but those in _SPELLINGS

_BEFORE = """\
import torch

class Gate:
    def forward(self, x):
        return x * torch.sigmoid(self.gate(x))
"""


@dataclass(frozen=True, eq=False)
class _Spot:
    """Hold a call of a function, with the tensor that it is called on, or what makes a module."""

    kind: str
    node: cst.BaseExpression
    operand: cst.BaseExpression | None


class SwapElementwise(ModelOperator):
    name = "swap_elementwise"
    family = "generic"
    summary = "Swap an elementwise function, of gates too, for sigmoid, softplus, softsign or tanh."
    preserves = frozenset({"shapes", "parameter_count"})
    examples = (
        Example(_BEFORE, _BEFORE.replace("torch.sigmoid", "torch.tanh"), "tanh"),
        Example(
            "import torch.nn as nn\n\nclass MLP(nn.Module):\n    def __init__(self):\n"
            "        self.gelu = nn.GELU()\n\n    def forward(self, x):\n        return self.gelu(x)\n",
            "import torch.nn as nn\n\nclass MLP(nn.Module):\n    def __init__(self):\n"
            "        self.tanh = nn.Tanh()\n\n    def forward(self, x):\n        return self.tanh(x)\n",
            "tanh",
        ),
        Example("import torch\n\ndef cap(logits):\n    return 30 * torch.tanh(logits / 30)\n"),
    )

    def words(self, edit: Edit) -> str:
        where, old = place(edit.site)
        return sentence(f"swap function {old} → {edit.variant} in {where}")

    def find(self, program: Program, experiment: Experiment) -> Iterator[Offer]:
        local = local_activations(program)
        for spot in [*_called(program, local), *_made(program, local)]:
            for variant in _FUNCTIONS:
                free = spot.kind in _SPELLINGS.values() or variant not in _MENU
                if free and variant != spot.kind:
                    rewrite = _remade if spot.operand is None else _recalled
                    site = f"{program.owner(spot.node)}:{spot.kind}"
                    yield Offer(variant, site, partial(rewrite, program, spot, variant, local))


def _called(program: Program, local: dict[str, str]) -> Iterator[_Spot]:
    """Yield calls of activations, and in classes those of other functions, soft caps aside."""
    for one in activated(program, local):
        if program.function_of(one.whole) is not None:
            yield _Spot(one.kind, one.whole, one.operand)
    for call in program.all(cst.Call):
        kind = _SPELLINGS.get(program.qualified(call.func) or "")
        arg = argument(call, 0, "input")
        if kind and arg is not None and len(call.args) == 1 and _is_free(program, call, arg.value, local):
            yield _Spot(kind, call, arg.value)


def _is_free(program: Program, call: cst.Call, operand: cst.BaseExpression, local: dict[str, str]) -> bool:
    capped = m.matches(operand, m.BinaryOperation(operator=m.Divide()))
    return program.class_of(call) is not None and program.owner(call) not in local and not capped


def _made(program: Program, local: dict[str, str]) -> Iterator[_Spot]:
    """Yield what makes a module, unless it is one of a table to choose from by name."""
    kinds: dict[cst.CSTNode, str] = {
        one.node: one.kind for one in activators(program, local) if isinstance(one.node, cst.Call)
    }
    for call in program.all(cst.Call):
        name = (program.qualified(call.func) or "").removeprefix("torch.nn.")
        kind = kinds.get(call) or {module: kind for kind, module in _MODULES.items()}.get(name)
        table = isinstance(program.parents[call], cst.DictElement)
        if kind is not None and not table and program.class_of(call) is not None:
            yield _Spot(kind, call, None)


def _recalled(program: Program, spot: _Spot, variant: str, local: dict[str, str]) -> str:
    patch, operand = Patch(program), spot.operand
    assert operand is not None, "a call has an operand"
    patch.helper(*local)
    spelled = patch.spell(_FUNCTIONS[variant])
    patch.change(spot.node, lambda updated: patch.expression(f"{spelled}({{x}})", x=operand))
    return patch.code()


def _remade(program: Program, spot: _Spot, variant: str, local: dict[str, str]) -> str:
    """Make another module, and call it what it is where it was called what it was."""
    patch, call = Patch(program), cst.ensure_type(spot.node, cst.Call)
    patch.helper(*local)
    home = text(call.func.value) if isinstance(call.func, cst.Attribute) else ""
    torch = (program.qualified(call.func) or "").startswith("torch.nn.")
    spelled = (
        f"{home}.{_MODULES[variant]}" if home and torch else patch.spell(f"torch.nn.{_MODULES[variant]}")
    )
    patch.replace(call, f"{spelled}()")
    label, line = held(program, call)
    owner = program.class_of(call)
    if owner is not None and isinstance(line, cst.SimpleStatementLine) and label in spot.kind.split("-"):
        mine = [node for node in walk(owner.node) if isinstance(node, cst.Attribute)]
        if not any(node.attr.value == variant for node in mine):
            for node in mine:
                if self_attribute(node) == label:
                    patch.rename(node, variant)
    return patch.code()


OPERATOR = SwapElementwise()
