"""Add to the values of attention what a table of its own holds for each token.

From the nanoGPT speed-runs (Jordan et al., "modded-nanogpt", 2024); a development of Zhou et al., "Value
Residual Learning" (2024).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import libcst as cst

from operators.operator import Example, ModelOperator, Offer, place, sentence
from operators.source import Edit
from operators.syntax.attention import Attention, attentions
from operators.syntax.experiment import Experiment
from operators.syntax.passing import Step, pass_down, route
from operators.syntax.patch import Patch
from operators.syntax.program import Program
from operators.syntax.stack import Stack, fresh, label, looped, stack
from operators.syntax.tree import dotted, leaf, names, text, walk
from operators.syntax.values import value_name

_VARIANTS = ("alternate", "all")


class ValueEmbeddings(ModelOperator):
    name = "value_embeddings"
    family = "knowledge"
    summary = "Add a token embedding to the values, in all or every second layer, through gates from 0."
    preserves = frozenset({"shapes", "function_at_init"})
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
        self.wte = nn.Embedding(config.vocab_size, config.n_embd)
        self.layers = nn.ModuleList([Attention(config) for _ in range(config.n_layer)])

    def forward(self, idx):
        x = self.wte(idx)
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

    def forward(self, x, ve):
        q, k, v = self.qkv(x).unsqueeze(1).chunk(3, dim=-1)
        ve = ve.unflatten(2, (-1, v.size(-1))).transpose(1, 2)  # heads as wide as those of v
        v = v + ve[:, : v.size(1)].to(v.dtype)
        return x + F.scaled_dot_product_attention(q, k, v, is_causal=True).squeeze(1)

class GPT(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.wte = nn.Embedding(config.vocab_size, config.n_embd)
        self.layers = nn.ModuleList([Attention(config) for _ in range(config.n_layer)])
        self.value_embed = nn.Embedding(config.vocab_size, config.n_embd)
        self.value_gates = nn.Parameter(torch.zeros(len(self.layers)))

    def forward(self, idx):
        x = self.wte(idx)
        ve = self.value_embed(idx)
        for i, layer in enumerate(self.layers):
            x = layer(x, self.value_gates[i] * ve)
        return x
""",
            "all",
        ),
        Example(
            "from torch.nn import functional as F\n\ndef attend(q, k, v):\n"
            "    return F.scaled_dot_product_attention(q, k, v, is_causal=True)\n"
        ),
    )

    def words(self, edit: Edit) -> str:
        layers = "every second" if edit.variant == "alternate" else "every"
        return sentence(f"value embeddings in {layers} {place(edit.site)[0]}")

    def find(self, program: Program, experiment: Experiment) -> Iterator[Offer]:
        spelled = looped(program)
        found = stack(spelled)
        table = _token_table(spelled, found) if found is not None else None
        if found is None or table is None or {"value_embed", "value_embeds"} & names(found.model.node):
            return
        for attention in attentions(spelled):
            steps = route(spelled, found, attention.function)
            value = value_name(spelled, attention)
            if steps is None or value is None or attention.owner is None:
                continue
            plan = _Plan(found, attention, steps, value, *table)
            for variant in _VARIANTS:
                yield Offer(variant, attention.owner.name, partial(_embedded, spelled, plan, variant))


@dataclass(frozen=True, eq=False)
class _Plan:
    """Hold where values are made and how they are reached, and how the model embeds its tokens."""

    found: Stack
    attention: Attention
    steps: list[Step]
    value: str
    tokens: str  # idx
    sizes: str  # config.vocab_size, config.n_embd


def _token_table(program: Program, found: Stack) -> tuple[str, str] | None:
    """Return what `forward` calls its tokens, and the arguments of the embedding that it looks them up in."""
    params = found.function.params.params
    tokens = params[1].name.value if len(params) >= 2 else ""
    called = [node for node in walk(found.function) if isinstance(node, cst.Call) and len(node.args) == 1]
    looked_up = {leaf(call.func) for call in called if dotted(call.args[0].value) == tokens}
    made = [node for node in walk(found.model.init) if isinstance(node, cst.Call)] if found.model.init else []
    for call in made:
        table = program.qualified(call.func) == "torch.nn.Embedding" and label(program, call) in looked_up
        if table and len(call.args) == 2 and all(arg.keyword is None for arg in call.args):
            return tokens, ", ".join(text(arg.value) for arg in call.args)
    return None


def _embedded(program: Program, plan: _Plan, variant: str) -> str:
    patch = Patch(program)
    found, v = plan.found, plan.value
    ve = fresh("ve", found.function, *(step.function for step in plan.steps))
    assert found.model.init is not None, "a model makes its embeddings in __init__"
    gates = f"{patch.spell('torch.zeros')}(len({found.blocks}))"
    patch.at_end(
        found.model.init,  # below what draws the other parameters, so that they start as they did
        f"self.value_embed = {patch.spell('torch.nn.Embedding')}({plan.sizes})",
        f"self.value_gates = {patch.spell('torch.nn.Parameter')}({gates})",
    )
    i = found.numbered(patch)
    patch.before(found.loop, f"{ve} = self.value_embed({plan.tokens})")
    lines = _lines(v, ve, plan.attention.tokens_next)
    given = f"self.value_gates[{i}] * {ve}"
    if variant == "alternate":
        given += f" if {i} % 2 == 0 else None"
        lines = [f"if {ve} is not None:\n    " + "\n    ".join(lines)]
    patch.before(plan.attention.statement, *lines)
    pass_down(patch, plan.steps, ve, given, "{} | None" if variant == "alternate" else "{}")
    return patch.code()


def _lines(v: str, ve: str, tokens_next: bool) -> list[str]:
    """Write how `ve` (B, T, C) is cut into heads and added to v; grouped heads take the first of them."""
    heads = f"{ve} = {ve}.unflatten(2, (-1, {v}.size(-1)))"
    cut = f"{ve}[:, : {v}.size(1)]" if tokens_next else f"{ve}[:, :, : {v}.size(2)]"
    moved = ".transpose(1, 2)" if tokens_next else ""
    return [f"{heads}{moved}  # heads as wide as those of {v}", f"{v} = {v} + {cut}.to({v}.dtype)"]


OPERATOR = ValueEmbeddings()
