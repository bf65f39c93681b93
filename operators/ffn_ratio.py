"""Change the width of the feed-forward layer in proportion to the model's."""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from typing import cast

import libcst as cst
import libcst.matchers as m

from operators.operator import Example, ModelOperator, Offer, place, sentence
from operators.source import Edit
from operators.syntax.experiment import Experiment
from operators.syntax.patch import Patch
from operators.syntax.program import Class, Program
from operators.syntax.tree import argument, assigned, dotted, leaf, names, number, walk

_RATIOS = (Fraction(2), Fraction(8, 3), Fraction(3), Fraction(4), Fraction(6), Fraction(8))


class FFNRatio(ModelOperator):
    name = "ffn_ratio"
    family = "knowledge"
    summary = "Make the hidden layer of the feed-forward 2, 8/3, 3, 4, 6 or 8 times the model's width."
    preserves = frozenset({"shapes"})
    examples = (
        Example(
            """\
import torch.nn as nn

class MLP(nn.Module):
    def __init__(self, n_embd):
        super().__init__()
        self.up = nn.Linear(n_embd, 4 * n_embd)
        self.down = nn.Linear(4 * n_embd, n_embd)
""",
            """\
import torch.nn as nn

class MLP(nn.Module):
    def __init__(self, n_embd):
        super().__init__()
        self.up = nn.Linear(n_embd, 6 * n_embd)
        self.down = nn.Linear(6 * n_embd, n_embd)
""",
            "6",
        ),
        Example(
            "import torch.nn as nn\n\ndef mlp(dim):\n"
            "    hidden = int(8 * dim / 3)\n"
            "    return nn.Sequential(nn.Linear(dim, hidden), nn.SiLU(), nn.Linear(hidden, dim))\n",
            "import torch.nn as nn\n\ndef mlp(dim):\n"
            "    hidden = 4 * dim\n"
            "    return nn.Sequential(nn.Linear(dim, hidden), nn.SiLU(), nn.Linear(hidden, dim))\n",
            "4",
        ),
        Example("import torch.nn as nn\n\ndef c_attn(n_embd):\n    return nn.Linear(n_embd, 3 * n_embd)\n"),
    )

    def words(self, edit: Edit) -> str:
        where, old = place(edit.site)
        return sentence(f"FFN ratio {old} → {edit.variant.replace('-', '/')} in {where}")

    def find(self, program: Program, experiment: Experiment) -> Iterator[Offer]:
        for hidden in _hidden_widths(program):
            for ratio in _RATIOS:
                # a fraction is written once, where the width has a name
                if ratio != hidden.ratio and (ratio.denominator == 1 or len(hidden.nodes) == 1):
                    yield Offer(
                        str(ratio).replace("/", "-"),
                        f"{hidden.where}:{hidden.ratio}",
                        partial(_widened, program, hidden, ratio),
                    )


@dataclass(frozen=True)
class _Hidden:
    """Hold a hidden width: every expression that computes it, as ratio times width."""

    where: str
    ratio: Fraction
    width: str
    nodes: list[cst.BaseExpression]


def _hidden_widths(program: Program) -> Iterator[_Hidden]:
    """Yield each product of a number and a width that one linear layer puts out and another takes in."""
    sides: dict[tuple[cst.CSTNode, Fraction, str], set[int]] = {}
    for call in program.all(cst.Call):
        scope = _scope(program, call)
        if scope is None or not ("linear" in leaf(call.func).lower() or leaf(call.func) == "Conv1D"):
            continue
        for side, keywords in enumerate((("in_features", "nf"), ("out_features", "nx"))):
            arg = argument(call, side, *keywords)
            product = _product(_value(scope, arg.value)) if arg is not None else None
            if product is not None and 1 < product[0] <= 16:
                sides.setdefault((scope, *product), set()).add(side)
    for (scope, ratio, width), found in sides.items():
        if found == {0, 1}:
            nodes = _expressions(program, scope, ratio, width)
            yield _Hidden(program.owner(nodes[0]), ratio, width, nodes)


def _scope(program: Program, node: cst.CSTNode) -> cst.CSTNode | None:
    owner: Class | None = program.class_of(node)
    return owner.node if owner is not None else program.function_of(node)


def _value(scope: cst.CSTNode, node: cst.BaseExpression) -> cst.BaseExpression:
    """Look through a name or attribute that the scope assigns exactly once."""
    name = dotted(node)
    if name is None:
        return node
    pairs = [pair for pair in map(assigned, walk(scope)) if pair and dotted(pair[0]) == name]
    return pairs[0][1] if len(pairs) == 1 and leaf(node) not in names(pairs[0][1]) else node


def _product(node: cst.BaseExpression) -> tuple[Fraction, str] | None:
    """Read `4 * n`, `n * 4`, `int(8 * n / 3)` or `8 * n // 3` as ratio and width; plain `n` has ratio 1."""
    if isinstance(node, (cst.Name, cst.Attribute)):
        name = dotted(node)
        return (Fraction(1), name) if name is not None else None
    if m.matches(node, m.Call(func=m.Name("int") | m.Name("round"), args=[m.Arg()])):
        return _product(cst.ensure_type(node, cst.Call).args[0].value)
    if not isinstance(node, cst.BinaryOperation):
        return None
    left, right = node.left, node.right
    if isinstance(node.operator, cst.Multiply) and number(left) is not None:
        left, right = right, left
    factor, inner = number(right), _product(left)
    if not factor or inner is None:
        return None
    if isinstance(node.operator, cst.Multiply):
        return inner[0] * Fraction(str(factor)), inner[1]
    if isinstance(node.operator, (cst.Divide, cst.FloorDivide)):
        return inner[0] / Fraction(str(factor)), inner[1]
    return None


def _expressions(
    program: Program, scope: cst.CSTNode, ratio: Fraction, width: str
) -> list[cst.BaseExpression]:
    """Return the outermost expressions of a scope that compute this product."""
    found: list[cst.BaseExpression] = []
    for node in walk(scope):
        computes = isinstance(node, (cst.BinaryOperation, cst.Call)) and _product(node) == (ratio, width)
        if computes and not any(parent in found for parent in program.above(node)):
            found.append(cast(cst.BaseExpression, node))
    return found


def _widened(program: Program, hidden: _Hidden, ratio: Fraction) -> str:
    patch = Patch(program)
    for node in hidden.nodes:
        literal = _literal(node)
        if literal is not None and ratio.denominator == 1:
            patch.replace(literal, str(ratio))
        elif ratio.denominator == 1:
            patch.replace(node, f"{ratio} * {hidden.width}")
        else:
            patch.replace(node, f"int({ratio.numerator} * {hidden.width} / {ratio.denominator})")
    return patch.code()


def _literal(node: cst.BaseExpression) -> cst.BaseExpression | None:
    """Return the 4 of `4 * n` or `n * 4`."""
    if not (isinstance(node, cst.BinaryOperation) and isinstance(node.operator, cst.Multiply)):
        return None
    sides = [side for side in (node.left, node.right) if number(side)]
    return sides[0] if sides and (dotted(node.left) or dotted(node.right)) else None


OPERATOR = FFNRatio()
