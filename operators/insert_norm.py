"""Normalise a tensor inside a layer: the embedding, or what goes into a projection back to the stream.

Shleifer et al., "NormFormer" (2021) and Wang et al., "Foundation Transformers" (2022), for norms inside
sublayers.
"""

from collections.abc import Iterator
from functools import partial

import libcst as cst

from operators.operator import Example, ModelOperator, Offer, place, sentence
from operators.source import Edit
from operators.syntax.experiment import Experiment
from operators.syntax.patch import Patch
from operators.syntax.program import Program
from operators.syntax.tensors import Tensor, norm_layer, tensors

_BEFORE = """\
import torch.nn as nn

class MLP(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.fc = nn.Linear(dim, 4 * dim)
        self.proj = nn.Linear(4 * dim, dim)

    def forward(self, x):
        return self.proj(self.fc(x).relu())
"""


class InsertNorm(ModelOperator):
    name = "insert_norm"
    family = "generic"
    summary = "Insert an RMSNorm or LayerNorm after the embedding, or before a projection inside a layer."
    preserves = frozenset({"shapes"})
    examples = (
        Example(
            _BEFORE,
            _BEFORE.replace(
                "(4 * dim, dim)\n",
                "(4 * dim, dim)\n        self.proj_in_norm = nn.RMSNorm(self.proj.in_features, eps=1e-5)\n",
            ).replace("self.fc(x).relu()", "self.proj_in_norm(self.fc(x).relu())"),
            "rmsnorm",
        ),
        Example(_BEFORE.replace("self.proj(self.fc(x).relu())", "self.fc(x)")),
    )

    def words(self, edit: Edit) -> str:
        return sentence(f"insert {edit.variant} at {place(edit.site)[1]} in {place(edit.site)[0]}")

    def find(self, program: Program, experiment: Experiment) -> Iterator[Offer]:
        for tensor in tensors(program):
            name = tensor.attribute("norm")
            if name is not None and (not tensor.out or tensor.layer.kind == "embedding"):
                for kind in ("rmsnorm", "layernorm"):
                    yield Offer(kind, tensor.site, partial(_normed, program, tensor, name, kind))


def _normed(program: Program, tensor: Tensor, name: str, kind: str) -> str:
    patch = Patch(program)
    assert tensor.owner.init is not None, "a layer is made in an __init__"
    patch.at_end(tensor.owner.init, f"self.{name} = {norm_layer(program, patch, kind, tensor.width)}")
    for node in tensor.nodes:
        patch.change(node, partial(_called, patch, name))
    return patch.code()


def _called(patch: Patch, name: str, updated: cst.BaseExpression) -> cst.BaseExpression:
    return patch.expression(f"self.{name}({{x}})", x=updated)


OPERATOR = InsertNorm()
