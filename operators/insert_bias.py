"""Add a learned bias where a layer has none."""

from collections.abc import Iterator
from functools import partial

import libcst as cst

from operators.operator import Example, ModelOperator, Offer, place, sentence
from operators.source import Edit
from operators.syntax.experiment import Experiment
from operators.syntax.layers import Layer, layers
from operators.syntax.learned import joined
from operators.syntax.program import Program
from operators.syntax.tensors import Tensor, is_head, tensors
from operators.syntax.tree import argument, leaf, text

_BEFORE = """\
import torch
import torch.nn as nn

class MLP(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.fc = nn.Linear(dim, 4 * dim, bias=False)

    def forward(self, x):
        return self.fc(x).relu()
"""


class InsertBias(ModelOperator):
    name = "insert_bias"
    family = "generic"
    summary = "Add a learned bias, from 0 (same function), where a layer has none."
    preserves = frozenset({"shapes", "function_at_init"})
    examples = (
        Example(
            _BEFORE,
            _BEFORE.replace(
                "bias=False)\n",
                "bias=False)\n        self.fc_bias = nn.Parameter(torch.zeros(self.fc.out_features))\n",
            ).replace("self.fc(x).relu", "(self.fc(x) + self.fc_bias).relu"),
            "per-channel",
        ),
        Example(_BEFORE.replace(", bias=False", "")),
    )

    def words(self, edit: Edit) -> str:
        return sentence(f"learned bias at {place(edit.site)[1]} in {place(edit.site)[0]}")

    def find(self, program: Program, experiment: Experiment) -> Iterator[Offer]:
        for tensor in _outputs(program):
            name = tensor.attribute("bias")
            if name is not None and not _has_bias(program, experiment, tensor.layer):
                yield Offer(
                    "per-channel",
                    tensor.site,
                    partial(joined, program, tensor, name, start="zeros", operation="+"),
                )


def _outputs(program: Program) -> Iterator[Tensor]:
    """Yield what comes out of embeddings and linear layers, logits among them."""
    yield from (tensor for tensor in tensors(program) if tensor.out)
    for layer in layers(program):
        if is_head(program, layer) and layer.calls and layer.owner.init is not None:
            yield Tensor(layer, True, list(layer.calls))


def _has_bias(program: Program, experiment: Experiment, layer: Layer) -> bool:
    """Tell whether a linear layer adds a bias itself, as far as source and experiment say."""
    if layer.kind != "linear":
        return False
    name = program.qualified(layer.made.func) or ""
    if name in program.classes:  # a kind of its own: what it tells torch's
        return "bias=False" not in text(program.classes[name].node)
    given = argument(layer.made, 2, "bias")
    if given is None:
        return True
    if isinstance(given.value, cst.Name):
        return given.value.value != "False"
    field = leaf(given.value)
    defaults = {name: node.value for name, node in program.config_defaults()}
    chosen = experiment.get(f"model_args.{field}")
    default = defaults.get(field)
    return (chosen or (text(default) if default is not None else "")).lower() != "false"


OPERATOR = InsertBias()
