"""Swap two neighbouring statements that both work on one tensor: sublayers, an activation and a projection …

Only where their order matters and either order fits: sums with the residual stream, functions that take any
width, and the loop over blocks with the norm behind it.
"""

from collections.abc import Iterator
from functools import partial
from itertools import pairwise

import libcst as cst

from operators.operator import Example, ModelOperator, Offer, place, sentence
from operators.source import Edit
from operators.syntax.experiment import Experiment
from operators.syntax.patch import Patch
from operators.syntax.program import Program
from operators.syntax.stack import Statement, stack
from operators.syntax.statements import Step, residual_steps, steps

_BEFORE = """\
import torch.nn as nn

class MLP(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.fc = nn.Linear(dim, 4 * dim)
        self.act = nn.GELU()

    def forward(self, x):
        x = self.fc(x)  # (B, T, 4 * dim)
        x = self.act(x)
        return x
"""
_FC, _ACT = "        x = self.fc(x)  # (B, T, 4 * dim)\n", "        x = self.act(x)\n"


class SwapStatements(ModelOperator):
    name = "swap_statements"
    family = "generic"
    summary = "Swap neighbouring statements on one tensor: sublayers, or a function and a projection."
    preserves = frozenset({"shapes", "parameter_count"})
    examples = (
        Example(_BEFORE, _BEFORE.replace(_FC + _ACT, _ACT + _FC), "swap"),
        Example(_BEFORE.replace("nn.GELU()", "nn.Linear(4 * dim, dim)")),
    )

    def words(self, edit: Edit) -> str:
        where, what = place(edit.site)
        return sentence(f"swap {what.replace('+', ' and ')} in {where}")

    def find(self, program: Program, experiment: Experiment) -> Iterator[Offer]:
        for first, second in _pairs(program):
            site = f"{first.home}:{first.name}+{second.name}"
            yield Offer("swap", site, partial(_swapped, program, first.line, second.line))
        found = stack(program)
        for step in steps(program) if found is not None else ():
            assert found is not None, "there is a stack to swap"
            behind = step.stream == found.stream and _follows(program, found.loop, step.line)
            if step.kind == "norm" and behind:
                site = f"{step.home}:{found.blocks}+{step.name}"
                yield Offer("swap", site, partial(_swapped, program, found.loop, step.line))


def _pairs(program: Program) -> Iterator[tuple[Step, Step]]:
    """Yield neighbours that fit in either order."""
    for first, second in pairwise(residual_steps(program)):
        if _follows(program, first.line, second.line) and first.stream == second.stream:
            yield first, second
    for first, second in pairwise(steps(program)):
        kinds = {first.kind, second.kind}
        fit = "elementwise" in kinds and bool(kinds & {"linear", "norm"})
        if fit and _follows(program, first.line, second.line) and first.stream == second.stream:
            yield first, second


def _follows(program: Program, first: cst.CSTNode, second: cst.CSTNode) -> bool:
    """Tell whether one statement stands right below another."""
    block = program.parents[first]
    if not isinstance(block, cst.IndentedBlock) or program.parents[second] is not block:
        return False
    lines: list[cst.CSTNode] = list(block.body)
    return lines.index(second) - lines.index(first) == 1


def _swapped(program: Program, first: Statement, second: Statement) -> str:
    patch = Patch(program)
    patch.change(first, lambda updated: second)
    patch.change(second, lambda updated: first)
    return patch.code()


OPERATOR = SwapStatements()
