"""Scale a tensor inside a layer by something learned, one factor per channel, from one."""

from collections.abc import Iterator
from functools import partial

from operators.operator import Example, ModelOperator, Offer, place, sentence
from operators.source import Edit
from operators.syntax.experiment import Experiment
from operators.syntax.learned import joined
from operators.syntax.program import Program
from operators.syntax.tensors import ends_sublayer, tensors

_BEFORE = """\
import torch
import torch.nn as nn

class MLP(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.fc = nn.Linear(dim, 4 * dim)

    def forward(self, x):
        return self.fc(x)  # (B, T, 4 * dim)
"""


class InsertScale(ModelOperator):
    name = "insert_scale"
    family = "generic"
    summary = "Scale a tensor inside a layer by a learned factor per channel, from 1 (same function)."
    preserves = frozenset({"shapes", "function_at_init"})
    examples = (
        Example(
            _BEFORE,
            _BEFORE.replace(
                "(dim, 4 * dim)\n",
                "(dim, 4 * dim)\n        self.fc_scale = nn.Parameter(torch.ones(self.fc.out_features))\n",
            ).replace("self.fc(x)", "self.fc(x) * self.fc_scale"),
            "per-channel",
        ),
        Example(
            """\
import torch.nn as nn

class Head(nn.Module):
    def forward(self, x):
        return self.fc(x)
"""
        ),
    )

    def words(self, edit: Edit) -> str:
        return sentence(f"learned scale at {place(edit.site)[1]} in {place(edit.site)[0]}")

    def find(self, program: Program, experiment: Experiment) -> Iterator[Offer]:
        for tensor in tensors(program):
            branch = tensor.out and ends_sublayer(program, tensor.layer)  # belongs to residual_scale
            name = tensor.attribute("scale")
            if not branch and name is not None:
                yield Offer(
                    "per-channel",
                    tensor.site,
                    partial(joined, program, tensor, name, start="ones", operation="*"),
                )


OPERATOR = InsertScale()
