"""Change how wide weights are drawn at the start: by a factor, by fan-in, or for projections by depth.

LeCun et al., "Efficient BackProp" (1998) for fan-in; Radford et al., "Language Models are Unsupervised
Multitask Learners" (2019) for 1/sqrt(2 n_layer); Dey et al., "Don't be lazy: CompleteP" (2025) for 1/n_layer.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import TypeGuard

import libcst as cst
import libcst.matchers as m

from operators.operator import Example, ModelOperator, Offer, place, sentence
from operators.source import Edit
from operators.syntax.experiment import Experiment, float_text
from operators.syntax.patch import Patch
from operators.syntax.program import Program
from operators.syntax.tree import argument, leaf, number, text, walk

_FACTORS = {"x0.5": 0.5, "x2": 2.0}
_NARROWEST, _WIDEST = 1e-3, 0.2
_PLAIN = "0.02"
_FAN_IN = m.BinaryOperation(left=m.Call(func=m.Attribute(attr=m.Name("size"))), operator=m.Power())
_SCALED = m.BinaryOperation(operator=m.Divide() | m.Multiply())


class Init(ModelOperator):
    name = "init"
    family = "knowledge"
    summary = "Draw initial weights half or twice as wide, or by fan-in; scale projections by depth or not."
    preserves = frozenset({"shapes", "parameter_count"})
    examples = (
        Example(
            """\
import math
import torch.nn as nn

class GPT(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.apply(self._init_weights)
        for name, p in self.named_parameters():
            if name.endswith("c_proj.weight"):
                nn.init.normal_(p, std=0.02 / math.sqrt(2 * config.n_layer))

    def _init_weights(self, module):
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=0.02)
""",
            """\
import math
import torch.nn as nn

class GPT(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.apply(self._init_weights)
        for name, p in self.named_parameters():
            if name.endswith("c_proj.weight"):
                nn.init.normal_(p, std=p.size(1) ** -0.5 / math.sqrt(2 * config.n_layer))

    def _init_weights(self, module):
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=module.weight.size(1) ** -0.5)
""",
            "fan-in",
        ),
        Example("import torch.nn as nn\n\ndef init(p):\n    nn.init.orthogonal_(p)\n"),
    )

    def words(self, edit: Edit) -> str:
        return sentence(f"initial std {place(edit.site)[1]} → {edit.variant}")

    def find(self, program: Program, experiment: Experiment) -> Iterator[Offer]:
        draws = [draw for call in program.all(cst.Call) if (draw := _draw(program, call)) is not None]
        for variant, change in _changes(draws).items():
            yield Offer(variant, _site(program, next(iter(change))), partial(_changed, program, change))


@dataclass(frozen=True, eq=False)
class _Draw:
    """Hold a call that fills a weight at random, `normal_(p, std=0.02 / math.sqrt(2 * config.n_layer))`."""

    weight: str  # p
    std: cst.BaseExpression
    base: cst.BaseExpression  # 0.02
    layers: str | None  # config.n_layer, where the width depends on it
    rooted: bool  # by the square root of the depth
    inputs: int  # the dimension that is multiplied away: 1, as in nn.Linear, or 0

    @property
    def by_fan_in(self) -> bool:
        return m.matches(self.base, _FAN_IN)


def _draw(program: Program, call: cst.Call) -> _Draw | None:
    """Read a normal draw of a weight; None for anything else."""
    if leaf(call.func) not in ("normal_", "trunc_normal_"):
        return None
    if (program.qualified(call.func) or "").startswith("torch.nn.init."):
        tensor, at = argument(call, 0, "tensor"), 2
        weight = tensor.value if tensor is not None else None
    else:
        weight, at = (call.func.value if isinstance(call.func, cst.Attribute) else None), 1
    std = argument(call, at, "std")
    if weight is None or std is None or leaf(weight) == "bias":
        return None
    base, layers, rooted = std.value, None, False
    if isinstance(base, cst.BinaryOperation) and m.matches(base, _SCALED):
        counts = [node for node in walk(base.right) if "layer" in leaf(node)]
        if counts:
            layers, rooted = text(counts[0]), any(sign in text(base.right) for sign in ("sqrt", "**"))
            base = base.left
    name = text(weight).removesuffix(".data")
    return _Draw(name, std.value, base, layers, rooted, 0 if _stands_right(program, call, name) else 1)


def _stands_right(program: Program, call: cst.Call, weight: str) -> bool:
    """Tell whether its own class multiplies inputs by a weight as it is: `x @ self.weight`."""
    owner = program.class_of(call)
    for node in walk(owner.node) if owner is not None else ():
        operands = [arg.value for arg in node.args[1:]] if _is_product(node) else []
        if m.matches(node, m.BinaryOperation(operator=m.MatrixMultiply())):
            operands = [cst.ensure_type(node, cst.BinaryOperation).right]
        if any(text(operand) == weight for operand in operands):
            return True
    return False


def _is_product(node: cst.CSTNode) -> TypeGuard[cst.Call]:
    return isinstance(node, cst.Call) and leaf(node.func) in ("addmm", "matmul", "mm")


def _site(program: Program, node: cst.CSTNode) -> str:
    return f"{program.home(node)}:{text(node).replace(' ', '')}"


def _changes(draws: list[_Draw]) -> dict[str, dict[cst.BaseExpression, str]]:
    """Map each variant to the expressions that it replaces, and by what."""
    found: dict[str, dict[cst.BaseExpression, str]] = {}
    literals = [draw.base for draw in draws if number(draw.base) is not None]
    for variant, factor in _FACTORS.items():
        wide = [(number(base) or 0) * factor for base in literals]
        if literals and all(_NARROWEST <= std <= _WIDEST for std in wide):
            pairs = zip(literals, wide, strict=True)
            found[variant] = {base: float_text(std, like=text(base)) for base, std in pairs}
    found["fan-in"] = {
        draw.base: f"{draw.weight}.size({draw.inputs}) ** -0.5" for draw in draws if not draw.by_fan_in
    }
    found[_PLAIN] = {draw.base: _PLAIN for draw in draws if draw.by_fan_in}
    deep = [draw for draw in draws if draw.layers is not None]
    found["depth-none"] = {draw.std: text(draw.base) for draw in deep}
    found["depth-linear"] = {draw.std: f"{text(draw.base)} / {draw.layers}" for draw in deep if draw.rooted}
    found["depth-sqrt"] = {
        draw.std: f"{text(draw.base)} / (2 * {draw.layers}) ** 0.5" for draw in deep if not draw.rooted
    }
    return {variant: change for variant, change in found.items() if change}


def _changed(program: Program, change: dict[cst.BaseExpression, str]) -> str:
    patch = Patch(program)
    for node, code in change.items():
        patch.replace(node, code)
    return patch.code()


OPERATOR = Init()
