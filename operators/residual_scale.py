"""Scale what each sublayer adds to the residual stream by something learned.

Bachlechner et al., "ReZero is All You Need" (2021) for one scale per sublayer; Touvron et al., "Going deeper
with Image Transformers" (2021) for LayerScale: one per channel, small at first.
"""

from collections.abc import Iterator
from functools import partial

import libcst as cst

from operators.operator import Example, ModelOperator, Offer, place, sentence
from operators.source import Edit
from operators.syntax.attention import WIDTHS, size_named
from operators.syntax.experiment import Experiment
from operators.syntax.patch import Patch
from operators.syntax.program import Class, Program
from operators.syntax.residual import Addend, addends
from operators.syntax.stack import block_class
from operators.syntax.tree import names

_LAYERSCALE_START = 0.1  # as the paper has it for up to 18 layers

_REST = """
class GPT(nn.Module):
    def __init__(self, dim, depth):
        super().__init__()
        self.blocks = nn.ModuleList([Block(dim) for _ in range(depth)])

    def forward(self, x):
        for block in self.blocks:
            x = block(x)
        return x
"""


class ResidualScale(ModelOperator):
    name = "residual_scale"
    family = "knowledge"
    summary = "Scale each sublayer's output: `scalar` from 1 (same function), `layerscale` from 0.1."
    preserves = frozenset({"shapes"})
    preserving = frozenset({"scalar"})
    examples = (
        Example(
            """\
import torch
import torch.nn as nn

class Block(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.ln = nn.LayerNorm(dim)
        self.mlp = nn.Sequential(nn.Linear(dim, dim), nn.ReLU())

    def forward(self, x):
        return x + self.mlp(self.ln(x))
"""
            + _REST,
            """\
import torch
import torch.nn as nn

class Block(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.ln = nn.LayerNorm(dim)
        self.mlp = nn.Sequential(nn.Linear(dim, dim), nn.ReLU())
        self.mlp_scale = nn.Parameter(torch.tensor(1.0))

    def forward(self, x):
        return x + self.mlp_scale * self.mlp(self.ln(x))
"""
            + _REST,
            "scalar",
        ),
        Example(
            "import torch.nn as nn\n\nclass Block(nn.Module):\n"
            "    def forward(self, x):\n        return x + self.mlp(x)\n"
        ),
    )

    def words(self, edit: Edit) -> str:
        kind = "LayerScale" if edit.variant == "layerscale" else "learned scale"
        return sentence(f"{kind} of each sublayer in {place(edit.site)[0]}")

    def find(self, program: Program, experiment: Experiment) -> Iterator[Offer]:
        block = block_class(program)
        if block is None or block.init is None:
            return
        added = addends(program, block)
        if not added or any(_scale(addend) in names(block.node) for addend in added):
            return
        yield Offer("scalar", block.name, partial(_scaled, program, block, added, None))
        width = size_named(block.init, WIDTHS)
        if width is not None:
            yield Offer("layerscale", block.name, partial(_scaled, program, block, added, width))


def _scale(addend: Addend) -> str:
    return f"{addend.name}_scale"


def _scaled(program: Program, block: Class, added: list[Addend], width: str | None) -> str:
    """Scale by one number from 1, or by a vector as wide as the stream from a small value."""
    patch = Patch(program)
    assert block.init is not None, "a block makes its layers in __init__"
    start = (
        f"{patch.spell('torch.tensor')}(1.0)"
        if width is None
        else f"{patch.spell('torch.full')}(({width},), {_LAYERSCALE_START})"
    )
    parameter = patch.spell("torch.nn.Parameter")
    patch.at_end(block.init, *(f"self.{_scale(addend)} = {parameter}({start})" for addend in added))
    for addend in added:
        patch.change(addend.whole, partial(_multiplied, patch, f"self.{_scale(addend)}"))
    return patch.code()


def _multiplied(patch: Patch, scale: str, whole: cst.BaseExpression) -> cst.BaseExpression:
    return patch.expression(f"{scale} * {{whole}}", whole=whole)


OPERATOR = ResidualScale()
