"""Read how wide a layer is, as a ratio of something, and write another ratio wherever it is computed."""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import cast

import libcst as cst
import libcst.matchers as m

from operators.syntax.patch import Patch
from operators.syntax.program import Program
from operators.syntax.tree import assigned, dotted, leaf, names, number, text, walk

_LOCAL_NAMES = ("hidden", "hidden_size", "d_hidden", "ffn_hidden")


@dataclass(frozen=True)
class Width:
    """Hold a width as a ratio of a base, and every expression of one class or function that computes it."""

    ratio: Fraction
    base: str  # config.n_embd; nothing where the width is a plain number
    nodes: tuple[cst.BaseExpression, ...]

    @property
    def value(self) -> tuple[Fraction, str]:
        """Return ratio and base."""
        return self.ratio, self.base


def scope_of(program: Program, node: cst.CSTNode) -> cst.CSTNode | None:
    """Return the class or function in which the names of a node have one meaning."""
    owner = program.class_of(node)
    return owner.node if owner is not None else program.function_of(node)


def value_of(program: Program, node: cst.BaseExpression) -> tuple[Fraction, str] | None:
    """Read an argument of a layer as ratio and base, through a name that is assigned once."""
    scope = scope_of(program, node)
    return product(_looked_up(scope, node)) if scope is not None else None


def read_width(program: Program, node: cst.BaseExpression) -> Width | None:
    """Read an argument of a layer as a width; None where it is not a number times something."""
    scope, value = scope_of(program, node), value_of(program, node)
    nodes = _expressions(program, scope, *value) if scope is not None and value is not None else []
    return Width(*value, tuple(nodes)) if nodes and value is not None else None


def _looked_up(scope: cst.CSTNode, node: cst.BaseExpression) -> cst.BaseExpression:
    """Look through a name or attribute that the scope assigns exactly once."""
    name = dotted(node)
    if name is None:
        return node
    pairs = [pair for pair in map(assigned, walk(scope)) if pair and dotted(pair[0]) == name]
    return pairs[0][1] if len(pairs) == 1 and leaf(node) not in names(pairs[0][1]) else node


def product(node: cst.BaseExpression) -> tuple[Fraction, str] | None:
    """Read `4 * n`, `n * 4`, `int(8 * n / 3)` or `8 * n // 3` as ratio and base; plain `n` has ratio 1.

    `a if a is not None else 4 * n` is read as what holds where nothing is given.
    """
    if isinstance(node, cst.IfExp):
        given = m.Comparison(comparisons=[m.ComparisonTarget(m.IsNot(), m.Name("None"))])
        return product(node.orelse) if m.matches(node.test, given) else None
    if isinstance(node, (cst.Name, cst.Attribute)):
        name = dotted(node)
        return (Fraction(1), name) if name is not None else None
    if isinstance(node, cst.Integer):
        return Fraction(node.value.replace("_", "")), ""
    if m.matches(node, m.Call(func=m.Name("int") | m.Name("round"), args=[m.Arg()])):
        return product(cst.ensure_type(node, cst.Call).args[0].value)
    if not isinstance(node, cst.BinaryOperation):
        return None
    left, right = node.left, node.right
    if isinstance(node.operator, cst.Multiply) and number(left) is not None:
        left, right = right, left
    factor, inner = number(right), product(left)
    if not factor or inner is None:
        return None
    if isinstance(node.operator, cst.Multiply):
        return inner[0] * Fraction(str(factor)), inner[1]
    if isinstance(node.operator, (cst.Divide, cst.FloorDivide)):
        return inner[0] / Fraction(str(factor)), inner[1]
    return None


def _expressions(
    program: Program, scope: cst.CSTNode, ratio: Fraction, base: str
) -> list[cst.BaseExpression]:
    """Return the outermost expressions of a scope that compute this product."""
    found: list[cst.BaseExpression] = []
    for node in walk(scope):
        if isinstance(node, (cst.BinaryOperation, cst.Call)):
            computes = product(node) == (ratio, base)
        else:  # a number or name that means the width, rather than a part of some other calculation
            computes = _stands_alone(program, node) and _plain(program, node) == (ratio, base)
        if computes and not any(parent in found for parent in program.above(node)):
            found.append(cast(cst.BaseExpression, node))
    return found


def _stands_alone(program: Program, node: cst.CSTNode) -> bool:
    """Tell whether a node is a positional argument of a layer, or all that a line assigns to a name."""
    parent = program.parents.get(node)
    if isinstance(parent, cst.Arg):
        call = program.parents[parent]
        return parent.value is node and isinstance(call, cst.Call) and leaf(call.func)[:1].isupper()
    pair = assigned(program.line_of(node) or node)
    return pair is not None and pair[1] is node


def _plain(program: Program, node: cst.CSTNode) -> tuple[Fraction, str] | None:
    if not isinstance(node, (cst.Name, cst.Attribute, cst.Integer)):
        return None
    pair = assigned(program.line_of(node) or node)
    rebinds = pair is not None and dotted(node) is not None and dotted(pair[0]) == dotted(node)
    return None if rebinds else product(node)


def written(ratio: Fraction, base: str) -> str:
    """Write a width as people do: `4 * n`, `int(8 * n / 3)`, and `2 * n // 3` below the base itself."""
    if not base:
        return str(int(ratio))
    over = "" if ratio.numerator == 1 else f"{ratio.numerator} * "
    if ratio.denominator == 1:
        return f"{over}{base}"
    return f"int({over}{base} / {ratio.denominator})" if ratio > 1 else f"{over}{base} // {ratio.denominator}"


def rewidened(program: Program, width: Width, ratio: Fraction) -> "Rewidened | None":
    """Plan another ratio; None where it can be written neither in place nor as a local variable."""
    code = written(ratio, width.base)
    if ratio.denominator == 1 or not width.base or len(width.nodes) == 1:
        codes: dict[cst.CSTNode, str] = {}
        for node in width.nodes:
            literal = _literal(node) if ratio.denominator == 1 and ratio != 1 else None
            codes[literal or node] = str(ratio) if literal is not None else code
        return Rewidened(codes)
    line, name = _common_line(program, width.nodes), _free_name(program, width.nodes[0])
    if line is None or name is None:
        return None
    return Rewidened(dict.fromkeys(width.nodes, name), line, f"{name} = {code}")


def scaled(program: Program, width: Width, factor: Fraction) -> "Rewidened | None":
    """Plan another ratio by a factor; nothing changes for 1, not even how the width is written."""
    return rewidened(program, width, width.ratio * factor) if factor != 1 else Rewidened({})


@dataclass(frozen=True)
class Rewidened:
    """Hold what is written in the place of which node, and the line above that defines it, if any."""

    codes: Mapping[cst.CSTNode, str]
    above: cst.CSTNode | None = None
    definition: str = ""

    def put(self, patch: Patch) -> None:
        """Carry the plan out."""
        for node, code in self.codes.items():
            patch.replace(node, code)
        if self.above is not None:
            patch.before(self.above, self.definition)

    def text(self, node: cst.CSTNode) -> str:
        """Return the code of a node as it will be."""
        for old, code in self.codes.items():
            if old is node:
                return code
            node = node.deep_replace(old, cst.parse_expression(code))
        return text(node)


def _common_line(program: Program, nodes: tuple[cst.BaseExpression, ...]) -> cst.CSTNode | None:
    """Return the statement of a function's body that computes a width first, if one function computes all."""
    function = program.function_of(nodes[0])
    if function is None or any(program.function_of(node) is not function for node in nodes):
        return None
    return next((node for node in program.above(nodes[0]) if program.parents[node] is function.body), None)


def _free_name(program: Program, node: cst.CSTNode) -> str | None:
    function = program.function_of(node)
    taken = names(function) | program.bound() if function is not None else set()
    return next((name for name in _LOCAL_NAMES if name not in taken), None)


def _literal(node: cst.BaseExpression) -> cst.BaseExpression | None:
    """Return the 4 of `4 * n` or `n * 4`."""
    if not (isinstance(node, cst.BinaryOperation) and isinstance(node.operator, cst.Multiply)):
        return None
    sides = [side for side in (node.left, node.right) if number(side)]
    return sides[0] if sides and (dotted(node.left) or dotted(node.right)) else None
