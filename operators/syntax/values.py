"""Find what attention calls its values."""

import libcst as cst
import libcst.matchers as m

from operators.syntax.attention import Attention, bound_names, kernel_calls
from operators.syntax.program import Program
from operators.syntax.tree import argument, leaf, walk

_MOVED = m.Call(func=m.Attribute(value=m.Name(), attr=m.Name("transpose")))


def value_name(program: Program, attention: Attention) -> str | None:
    """Return the variable that holds the values, bound above the statement where attention begins."""
    block = program.parents[attention.statement]
    assert isinstance(block, cst.IndentedBlock), "attention happens in a function with lines of its own"
    above = block.body[: block.body.index(attention.statement)]
    made = {name for line in above for name in bound_names(line)}
    for node in walk(attention.function):
        value = _operand(program, node)
        if m.matches(value, _MOVED):
            value = cst.ensure_type(cst.ensure_type(value, cst.Call).func, cst.Attribute).value
        if isinstance(value, cst.Name) and value.value in made - {attention.query, attention.key}:
            return value.value
    return None


def _operand(program: Program, node: cst.CSTNode) -> cst.BaseExpression:
    """Return the value of `scaled_dot_product_attention(q, k, v)`, or the right side of `att @ v`."""
    if isinstance(node, cst.BinaryOperation) and isinstance(node.operator, cst.MatrixMultiply):
        return node.right
    fused = isinstance(node, cst.Call) and leaf(node.func) == "scaled_dot_product_attention"
    if isinstance(node, cst.Call) and (fused or node in kernel_calls(program)):
        arg = argument(node, 2, "value")
    elif isinstance(node, cst.Call) and program.qualified(node.func) == "torch.matmul":
        arg = argument(node, 1, "other")
    else:
        arg = None
    return arg.value if arg is not None else cst.Ellipsis()
