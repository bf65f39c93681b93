"""Mix the values of every attention layer with those of the first, by learned scalars.

Zhou et al., "Value Residual Learning" (2024).
"""

from collections.abc import Iterator
from functools import partial

from operators.operator import Example, ModelOperator, Offer, place, sentence
from operators.source import Edit
from operators.syntax.attention import HEADS, Attention, attentions
from operators.syntax.experiment import Experiment
from operators.syntax.own_config import differs
from operators.syntax.passing import Step, pass_down, route
from operators.syntax.patch import Patch
from operators.syntax.program import Class, Program
from operators.syntax.projections import KV_HEADS
from operators.syntax.stack import Stack, fresh, looped, stack
from operators.syntax.tree import names
from operators.syntax.values import value_name

_STARTS = {"learned": "[1.0, 0.0]", "half": "[0.5, 0.5]"}
_TRACES = {"v_lambdas", "v1", "v_first", "v_residual", "value_residual"}


class ValueResidual(ModelOperator):
    name = "value_residual"
    family = "knowledge"
    summary = "Mix each layer's values with the first layer's; `learned` starts as the same function."
    preserves = frozenset({"shapes"})
    preserving = frozenset({"learned"})
    examples = (
        Example(
            """\
import torch
import torch.nn as nn
from torch.nn import functional as F

class Attention(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.qkv = nn.Linear(config.n_embd, 3 * config.n_embd)

    def forward(self, x):
        q, k, v = self.qkv(x).unsqueeze(1).chunk(3, dim=-1)
        return x + F.scaled_dot_product_attention(q, k, v, is_causal=True).squeeze(1)

class GPT(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.layers = nn.ModuleList([Attention(config) for _ in range(config.n_layer)])

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        return x
""",
            """\
import torch
import torch.nn as nn
from torch.nn import functional as F

class Attention(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.qkv = nn.Linear(config.n_embd, 3 * config.n_embd)
        self.v_lambdas = nn.Parameter(torch.tensor([1.0, 0.0]))

    def forward(self, x, values):
        q, k, v = self.qkv(x).unsqueeze(1).chunk(3, dim=-1)
        values.append(v)
        v = self.v_lambdas[0] * v + self.v_lambdas[1] * values[0]
        return x + F.scaled_dot_product_attention(q, k, v, is_causal=True).squeeze(1)

class GPT(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.layers = nn.ModuleList([Attention(config) for _ in range(config.n_layer)])

    def forward(self, x):
        values = []  # of each layer's attention
        for layer in self.layers:
            x = layer(x, values)
        return x
""",
            "learned",
        ),
        Example(
            """\
import torch.nn as nn
from torch.nn import functional as F

class Attention(nn.Module):
    def forward(self, q, k, v, v1):
        return F.scaled_dot_product_attention(q, k, 0.5 * v + 0.5 * v1, is_causal=True)
"""
        ),
    )

    def words(self, edit: Edit) -> str:
        start = " half and half" if edit.variant == "half" else ""
        return sentence(f"mix in the first layer's values{start} in {place(edit.site)[0]}")

    def find(self, program: Program, experiment: Experiment) -> Iterator[Offer]:
        spelled = looped(program)
        found = stack(spelled)
        if differs(program, (*HEADS, *KV_HEADS)):  # values of one shape alone can be mixed
            return
        for attention in attentions(spelled) if found is not None else ():
            owner = attention.owner
            if found is None or owner is None or owner.init is None or _TRACES & names(owner.node):
                continue
            steps = route(spelled, found, attention.function)
            value = value_name(spelled, attention)
            if steps is None or value is None:
                continue
            for variant in _STARTS:
                mixed = partial(_mixed, spelled, found, owner, attention, steps, value, variant)
                yield Offer(variant, owner.name, mixed)


def _mixed(
    program: Program,
    found: Stack,
    owner: Class,
    attention: Attention,
    steps: list[Step],
    v: str,
    variant: str,
) -> str:
    patch = Patch(program)
    values = fresh("values", found.function, *(step.function for step in steps))
    assert owner.init is not None, "an attention layer that makes its own projections"
    made = f"{patch.spell('torch.nn.Parameter')}({patch.spell('torch.tensor')}({_STARTS[variant]}))"
    patch.at_end(owner.init, f"self.v_lambdas = {made}")
    patch.before(
        attention.statement,
        f"{values}.append({v})",
        f"{v} = self.v_lambdas[0] * {v} + self.v_lambdas[1] * {values}[0]",
    )
    patch.before(found.loop, f"{values} = []  # of each layer's attention")
    pass_down(patch, steps, values, values, "list[{}]")
    return patch.code()


OPERATOR = ValueResidual()
