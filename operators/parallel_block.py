"""Let attention and feed-forward read the same normalised input, and add both at once.

Wang and Komatsuzaki, "GPT-J-6B" (2021); Chowdhery et al., "PaLM" (2022).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import libcst as cst

from operators.operator import Example, ModelOperator, Offer, place, sentence
from operators.source import Edit
from operators.syntax.experiment import Experiment
from operators.syntax.patch import Patch
from operators.syntax.program import Class, Program
from operators.syntax.residual import addends, norm_of, summed_line
from operators.syntax.stack import block_class, fresh
from operators.syntax.tree import self_attribute, text, walk

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


class ParallelBlock(ModelOperator):
    name = "parallel_block"
    family = "knowledge"
    summary = "Run attention and feed-forward side by side on one normalised input."
    preserves = frozenset({"shapes"})
    examples = (
        Example(
            """\
import torch.nn as nn

class Block(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.ln_1 = nn.LayerNorm(dim)
        self.attn = nn.Sequential(nn.Linear(dim, dim))
        self.ln_2 = nn.LayerNorm(dim)
        self.mlp = nn.Sequential(nn.Linear(dim, dim), nn.ReLU())

    def forward(self, x):
        x = x + self.attn(self.ln_1(x))
        x = x + self.mlp(self.ln_2(x))
        return x
"""
            + _REST,
            """\
import torch.nn as nn

class Block(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.ln_1 = nn.LayerNorm(dim)
        self.attn = nn.Sequential(nn.Linear(dim, dim))
        self.mlp = nn.Sequential(nn.Linear(dim, dim), nn.ReLU())

    def forward(self, x):
        h = self.ln_1(x)
        x = x + self.attn(h) + self.mlp(h)
        return x
"""
            + _REST,
            "shared-norm",
        ),
        Example(
            """\
import torch.nn as nn

class Block(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.mlp = nn.Sequential(nn.Linear(dim, dim), nn.ReLU())

    def forward(self, x):
        return x + self.mlp(self.norm(x))
"""
            + _REST
        ),
    )

    def words(self, edit: Edit) -> str:
        return sentence(f"attention and MLP in parallel in {place(edit.site)[0]}")

    def find(self, program: Program, experiment: Experiment) -> Iterator[Offer]:
        block = block_class(program)
        steps = _steps(program, block) if block is not None else []
        if block is not None and len(steps) == 2 and _adjacent(program, *steps):
            yield Offer("shared-norm", block.name, partial(_parallel, program, block, *steps))


@dataclass(frozen=True, eq=False)
class _Step:
    """Hold a line `x = x + f(norm(x))`, or one that returns such a sum."""

    line: cst.CSTNode
    total: cst.BinaryOperation
    whole: cst.BaseExpression  # f(norm(x))
    norm: cst.Call
    stream: str


def _steps(program: Program, block: Class) -> list[_Step]:
    """Return a block's residual lines; empty if any of them is of another kind."""
    found = []
    for addend in addends(program, block):
        summed = summed_line(program, addend)
        norm = norm_of(program, addend.whole, summed[2]) if summed is not None else None
        if summed is None or norm is None:
            return []
        found.append(_Step(summed[0], summed[1], addend.whole, norm, summed[2]))
    return found


def _adjacent(program: Program, first: _Step, second: _Step) -> bool:
    """Tell whether the second line directly follows the first, and both work on one stream."""
    block = program.parents[first.line]
    if not isinstance(block, cst.IndentedBlock) or program.parents[second.line] is not block:
        return False
    lines: list[cst.CSTNode] = list(block.body)
    return lines.index(second.line) - lines.index(first.line) == 1 and first.stream == second.stream


def _parallel(program: Program, block: Class, first: _Step, second: _Step) -> str:
    patch = Patch(program)
    h = fresh("h", block.methods["forward"])
    patch.before(first.line, f"{h} = {text(first.norm)}")
    if self_attribute(second.norm.func) != self_attribute(first.norm.func):
        _drop_layer(program, patch, block, second.norm)
    patch.replace(first.norm, h)
    added = _with_name(second.whole, second.norm, h)
    if isinstance(program.parents[second.total], cst.Return):
        patch.change(
            second.total,
            lambda updated: updated.with_changes(
                left=patch.expression(
                    "{left} + {right}", left=first.total.left, right=_with_name(first.whole, first.norm, h)
                ),
                right=added,
            ),
        )
        patch.remove(first.line)
    else:
        patch.change(
            first.total, lambda updated: patch.expression("{left} + {right}", left=updated, right=added)
        )
        patch.remove(second.line)
    return patch.code()


def _with_name(whole: cst.BaseExpression, norm: cst.Call, name: str) -> cst.BaseExpression:
    replaced = whole.deep_replace(norm, cst.Name(name))
    assert isinstance(replaced, cst.BaseExpression), "an expression with a name in the place of a call"
    return replaced


def _drop_layer(program: Program, patch: Patch, block: Class, norm: cst.Call) -> None:
    """Remove the line that makes a layer, unless something else reads the layer."""
    name = self_attribute(norm.func)
    uses = [node for node in walk(block.node) if self_attribute(node) == name]
    made = [line for own, line, _ in block.own() if own == name]
    if name is not None and len(made) == 1 and len(uses) == 2:
        patch.remove(made[0])


OPERATOR = ParallelBlock()
