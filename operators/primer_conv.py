"""Convolve queries, keys and values over three tokens, depthwise and causally, right after their projection.

So et al., "Primer: Searching for Efficient Transformers for Language Modeling" (2021).
"""

from collections.abc import Iterator
from functools import partial

import libcst as cst

from operators.operator import Example, ModelOperator, Offer, place, sentence
from operators.source import Edit
from operators.syntax.attention import Attention, attentions, mentions
from operators.syntax.experiment import Experiment
from operators.syntax.patch import Patch
from operators.syntax.program import Class, Program
from operators.syntax.tree import leaf, self_attribute, walk

_ENDINGS = ("_proj", "_lin", "_linear")


class PrimerConv(ModelOperator):
    name = "primer_conv"
    family = "knowledge"
    summary = "Convolve q, k and v causally over three tokens; starts as the identity."
    preserves = frozenset({"shapes", "function_at_init"})
    examples = (
        Example(
            """\
import torch
import torch.nn as nn
from torch.nn import functional as F

class Attention(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.qkv = nn.Linear(dim, 3 * dim)

    def forward(self, x):
        q, k, v = self.qkv(x).unsqueeze(1).chunk(3, dim=-1)
        return F.scaled_dot_product_attention(q, k, v, is_causal=True).squeeze(1)
""",
            """\
import torch
import torch.nn as nn
from torch.nn import functional as F


class CausalConv(nn.Module):
    \"""Mix each channel over this token and the `width - 1` before it (So et al., 2021).\"""

    def __init__(self, channels, width=3):
        super().__init__()
        taps = torch.zeros(channels, 1, width)
        taps[..., -1] = 1.0  # of this token
        self.weight = nn.Parameter(taps)

    def forward(self, x):  # (B, T, channels)
        x = F.pad(x.mT, (self.weight.size(-1) - 1, 0))
        return F.conv1d(x, self.weight, groups=x.size(1)).mT

class Attention(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.qkv = nn.Linear(dim, 3 * dim)
        self.conv = CausalConv(self.qkv.out_features)

    def forward(self, x):
        q, k, v = self.conv(self.qkv(x)).unsqueeze(1).chunk(3, dim=-1)
        return F.scaled_dot_product_attention(q, k, v, is_causal=True).squeeze(1)
""",
            "3",
        ),
        Example(
            "from torch.nn import functional as F\n\ndef attend(q, k, v):\n"
            "    return F.scaled_dot_product_attention(q, k, v, is_causal=True)\n"
        ),
    )

    def words(self, edit: Edit) -> str:
        return sentence(f"convolve q, k, v over 3 tokens in {place(edit.site)[0]}")

    def find(self, program: Program, experiment: Experiment) -> Iterator[Offer]:
        for attention in attentions(program):
            owner = attention.owner
            if owner is None or mentions(owner.node, "conv") or "CausalConv" in program.classes:
                continue
            calls = _projections(program, attention, owner)
            if calls:
                yield Offer("3", owner.name, partial(_convolved, program, owner, calls))


def _projections(program: Program, attention: Attention, owner: Class) -> list[cst.Call]:
    """Return the calls of linear layers on the function's own input: they make queries, keys and values."""
    params = attention.function.params.params
    layers = {
        name
        for name, _, value in owner.own()
        if isinstance(value, cst.Call) and "linear" in leaf(value.func).lower()
    }
    if len(params) < 2:
        return []
    calls = [node for node in walk(attention.function) if isinstance(node, cst.Call) and len(node.args) == 1]
    mine = [call for call in calls if self_attribute(call.func) in layers]
    return [call for call in mine if leaf(call.args[0].value) == params[1].name.value]


def _convolved(program: Program, owner: Class, calls: list[cst.Call]) -> str:
    patch = Patch(program)
    layers = list(dict.fromkeys(leaf(call.func) for call in calls))
    lines = {name: line for name, line, _ in owner.own()}
    assert owner.init is not None, "projections are made in __init__"
    body = list(owner.init.body.body)
    names = {layer: _name(layer, len(layers)) for layer in layers}
    conv = patch.copy("causal_conv", owner.node)
    made = [f"self.{names[layer]} = {conv}(self.{layer}.out_features)" for layer in layers]
    patch.after(max((lines[layer] for layer in layers), key=body.index), *made)
    for call in calls:
        patch.change(call, partial(_wrapped, patch, f"self.{names[leaf(call.func)]}"))
    return patch.code()


def _wrapped(patch: Patch, layer: str, call: cst.Call) -> cst.BaseExpression:
    return patch.expression(f"{layer}({{x}})", x=call)


def _name(layer: str, count: int) -> str:
    """Name a convolution for its projection: q_conv for q_proj; just conv for the only one."""
    if count == 1:
        return "conv"
    ending = next((ending for ending in _ENDINGS if layer.endswith(ending)), "")
    return f"{layer.removesuffix(ending)}_conv"


OPERATOR = PrimerConv()
