"""Join a learned parameter to a tensor, wherever the tensor is used."""

from functools import partial

import libcst as cst

from operators.syntax.patch import Patch
from operators.syntax.program import Program
from operators.syntax.tensors import Tensor, wrapped


def joined(program: Program, tensor: Tensor, name: str, *, start: str, operation: str) -> str:
    """Make `self.name = nn.Parameter(torch.start(width))` and write `x operation self.name` for x."""
    patch = Patch(program)
    assert tensor.owner.init is not None, "a layer is made in an __init__"
    values = f"{patch.spell(f'torch.{start}')}({tensor.width})"
    patch.at_end(tensor.owner.init, f"self.{name} = {patch.spell('torch.nn.Parameter')}({values})")
    for node in tensor.nodes:
        patch.change(node, partial(_with, program, patch, node, f"{{x}} {operation} self.{name}"))
    return patch.code()


def _with(
    program: Program, patch: Patch, node: cst.BaseExpression, template: str, updated: cst.BaseExpression
) -> cst.BaseExpression:
    return wrapped(program, node, patch.expression(template, x=updated))
