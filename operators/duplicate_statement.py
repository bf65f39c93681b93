"""Run a sublayer twice in a block, with the same weights.

Dehghani et al., "Universal Transformers" (2019) for depth by repetition.
"""

from collections.abc import Iterator
from functools import partial

from operators.operator import Example, ModelOperator, Offer, place, sentence
from operators.source import Edit
from operators.syntax.experiment import Experiment
from operators.syntax.patch import Patch
from operators.syntax.program import Program
from operators.syntax.statements import Step, residual_steps
from operators.syntax.tree import text

_BEFORE = """\
import torch.nn as nn

class Block(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(dim, dim), nn.ReLU())

    def forward(self, x):
        x = x + self.mlp(x)
        return x

class GPT(nn.Module):
    def __init__(self, dim, depth):
        super().__init__()
        self.blocks = nn.ModuleList([Block(dim) for _ in range(depth)])

    def forward(self, x):
        for block in self.blocks:
            x = block(x)
        return x
"""
_LINE = "        x = x + self.mlp(x)\n"


class DuplicateStatement(ModelOperator):
    name = "duplicate_statement"
    family = "generic"
    summary = "Repeat what a sublayer adds to the residual stream, with the same weights."
    preserves = frozenset({"shapes", "parameter_count"})
    examples = (
        Example(_BEFORE, _BEFORE.replace(_LINE, _LINE * 2), "again"),
        Example("def forward(x, layer):\n    x = layer(x)\n    return x\n"),
    )

    def words(self, edit: Edit) -> str:
        where, what = place(edit.site)
        return sentence(f"run {what} twice in {where}")

    def find(self, program: Program, experiment: Experiment) -> Iterator[Offer]:
        for step in residual_steps(program):
            yield Offer("again", step.site, partial(_again, program, step))


def _again(program: Program, step: Step) -> str:
    patch = Patch(program)
    patch.after(step.line, text(step.line.with_changes(leading_lines=[])).strip())
    return patch.code()


OPERATOR = DuplicateStatement()
