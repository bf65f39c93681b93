"""Delete one statement of `forward` that takes a tensor and gives one of the same shape back.

That is what a block adds to the residual stream, or a norm or activation on a line of its own. The layers
that nothing runs any more go as well.
"""

from collections.abc import Iterator
from functools import partial

import libcst as cst

from operators.operator import Example, ModelOperator, Offer, place, sentence
from operators.source import Edit
from operators.syntax.experiment import Experiment
from operators.syntax.layers import drop, left_over
from operators.syntax.patch import Patch
from operators.syntax.program import Program
from operators.syntax.statements import residual_steps, steps
from operators.syntax.tree import walk

_BEFORE = """\
import torch.nn as nn

class MLP(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.fc = nn.Linear(dim, dim)
        self.norm = nn.LayerNorm(dim)

    def forward(self, x):
        x = self.fc(x).relu()
        x = self.norm(x)
        return x
"""


class DeleteStatement(ModelOperator):
    name = "delete_statement"
    family = "generic"
    summary = "Delete a statement that keeps a tensor's shape: a sublayer, a norm, an activation."
    preserves = frozenset({"shapes"})
    examples = (
        Example(
            _BEFORE,
            _BEFORE.replace("        x = self.norm(x)\n", "").replace(
                "        self.norm = nn.LayerNorm(dim)\n", ""
            ),
            "delete",
        ),
        Example(_BEFORE.replace("x = self.norm(x)", "y = self.norm(x)")),
    )

    def words(self, edit: Edit) -> str:
        where, what = place(edit.site)
        return sentence(f"delete {what} from {where}")

    def find(self, program: Program, experiment: Experiment) -> Iterator[Offer]:
        residual = residual_steps(program)
        for step in [*(residual if len(residual) > 1 else []), *steps(program)]:
            if step.kind in ("residual", "norm", "elementwise"):
                whole = _with_its_branch(program, step.line)
                places = left_over(program, whole) if not _orphans(program, whole) else None
                if places is not None:
                    yield Offer("delete", step.site, partial(_deleted, program, whole, places))


def _with_its_branch(program: Program, line: cst.CSTNode) -> cst.CSTNode:
    """Return a line, or the `if` of which it is all."""
    block = program.parents[line]
    holder = program.parents.get(block)
    alone = isinstance(block, cst.IndentedBlock) and len(block.body) == 1
    return holder if alone and isinstance(holder, cst.If) and holder.orelse is None else line


def _orphans(program: Program, line: cst.CSTNode) -> bool:
    """Tell whether something that is given to `forward` would have no reader left."""
    forward, gone = program.function_of(line), walk(line)
    given = [param.name.value for param in forward.params.params] if forward is not None else []
    reads = [program.reads(forward, name) for name in given] if forward is not None else []
    return any(found and all(node in gone for node in found) for found in reads)


def _deleted(program: Program, line: cst.CSTNode, places: list[cst.CSTNode]) -> str:
    patch = Patch(program)
    patch.remove(line)
    drop(program, patch, places)
    return patch.code()


OPERATOR = DeleteStatement()
