"""Put a sparse mixture of experts in the place of the feed-forward layer, or one dense layer back.

Shazeer et al., "Outrageously Large Neural Networks" (2017); Fedus et al., "Switch Transformers" (2021); Dai
et al., "DeepSeekMoE" (2024) for shared experts.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import partial

import libcst as cst
import libcst.matchers as m

from operators.operator import Example, ModelOperator, Offer, place, sentence
from operators.source import Edit
from operators.syntax.experiment import Experiment
from operators.syntax.experts import Maker, makers, mixes
from operators.syntax.losses import Loss, add_to_loss, find_loss, take_from_loss
from operators.syntax.patch import Patch
from operators.syntax.program import Program
from operators.syntax.tree import argument, leaf, number, text
from operators.syntax.widths import scaled

_AUX_LOSS = "0.01 * sum(m.aux_loss for m in self.modules() if isinstance(m, MoE))"


@dataclass(frozen=True)
class _Mixture:
    """Say how many experts there are, how many a token visits, and whether one more serves every token.

    Experts are as wide as the dense layer divided by how many a token visits in all, so that as many
    parameters are at work for each token as were before.
    """

    experts: int
    top_k: int
    shared: bool = False

    @property
    def active(self) -> int:
        return self.top_k + self.shared


_VARIANTS = {
    "4x1": _Mixture(4, 1),
    "4x2": _Mixture(4, 2),
    "8x2": _Mixture(8, 2),
    "4x1-shared": _Mixture(4, 1, shared=True),
}


class MoE(ModelOperator):
    name = "moe"
    family = "knowledge"
    summary = "Replace the feed-forward layer by sparse experts of its size for each token, or undo that."
    preserves = frozenset({"shapes"})
    examples = (
        Example(
            """\
import torch.nn as nn
from torch.nn import functional as F

class MLP(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.c_fc = nn.Linear(config.n_embd, 4 * config.n_embd)
        self.c_proj = nn.Linear(4 * config.n_embd, config.n_embd)

    def forward(self, x):
        return self.c_proj(F.gelu(self.c_fc(x)))

class GPT(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.wte = nn.Embedding(config.vocab_size, config.n_embd)
        self.mlp = MLP(config)

    def forward(self, idx, targets):
        logits = self.mlp(self.wte(idx)) @ self.wte.weight.T
        loss = F.cross_entropy(logits.flatten(0, 1), targets.flatten())
        return logits, loss
""",
            """\
import torch.nn as nn
from torch.nn import functional as F
import torch

class MLP(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.c_fc = nn.Linear(config.n_embd, 2 * config.n_embd)
        self.c_proj = nn.Linear(2 * config.n_embd, config.n_embd)

    def forward(self, x):
        return self.c_proj(F.gelu(self.c_fc(x)))


class MoE(nn.Module):
    \"\"\"Send each token through the top_k experts that a router prefers (Shazeer et al., 2017).\"\"\"

    def __init__(self, n_embd, experts, top_k):
        super().__init__()
        self.router = nn.Linear(n_embd, len(experts), bias=False)
        self.experts = nn.ModuleList(experts)
        self.top_k = top_k
        self.aux_loss = 0.0  # in training 1 where all experts are equally busy, more where not

    def forward(self, x):
        tokens = x.reshape(-1, x.size(-1))  # (N, n_embd)
        probs = self.router(tokens).softmax(dim=-1)  # (N, experts)
        weight, chosen = probs.topk(self.top_k)  # (N, top_k)
        if self.top_k > 1:  # a lone expert keeps its probability, or the router would not learn
            weight = weight / weight.sum(dim=-1, keepdim=True)
        order = chosen.flatten().argsort(stable=True)  # slots, expert by expert
        load = chosen.flatten().bincount(minlength=len(self.experts))  # (experts,)
        parts = tokens[order // self.top_k].split(load.tolist())
        y = torch.cat([expert(part) for expert, part in zip(self.experts, parts, strict=True)])
        y = y[order.argsort()].view(*chosen.shape, -1)  # (N, top_k, n_embd), token by token
        balance = len(self.experts) * (load / chosen.numel() * probs.mean(dim=0)).sum()
        self.aux_loss = balance if self.training else 0.0
        return (weight.unsqueeze(-1) * y).sum(dim=1).type_as(y).view_as(x)

class GPT(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.wte = nn.Embedding(config.vocab_size, config.n_embd)
        self.mlp = MoE(config.n_embd, [MLP(config) for _ in range(4)], top_k=2)

    def forward(self, idx, targets):
        logits = self.mlp(self.wte(idx)) @ self.wte.weight.T
        loss = F.cross_entropy(logits.flatten(0, 1), targets.flatten())
        loss = loss + 0.01 * sum(m.aux_loss for m in self.modules() if isinstance(m, MoE))
        return logits, loss
""",
            "4x2",
        ),
        Example(
            """\
import torch.nn as nn
from torch.nn import functional as F

class MLP(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.up = nn.Linear(dim, 4 * dim)
        self.down = nn.Linear(4 * dim, dim)

    def forward(self, x):
        return self.down(F.gelu(self.up(x)))

def block(dim):  # no loss in sight that could balance experts
    return nn.Sequential(nn.LayerNorm(dim), MLP(dim))
"""
        ),
    )

    def words(self, edit: Edit) -> str:
        where, what = place(edit.site)
        if edit.variant == "dense":
            return sentence(f"mixture of experts → dense layer in {where}")
        mixture = _VARIANTS[edit.variant]
        shared = " and a shared one" if mixture.shared else ""
        return sentence(f"{what} → {mixture.experts} experts, top {mixture.top_k}{shared} in {where}")

    def find(self, program: Program, experiment: Experiment) -> Iterator[Offer]:
        if mixes(program):
            yield from _dense(program)
            return
        loss = find_loss(program)
        if loss is None:
            return
        for maker in makers(program):
            site = f"{program.owner(maker.call)}:{leaf(maker.call.func)}"
            for variant, mixture in _VARIANTS.items():
                if mixture.active == 1 or _divides(program, maker, mixture.active):
                    yield Offer(variant, site, partial(_mixed, program, maker, mixture, loss))


def _divides(program: Program, maker: Maker, active: int) -> bool:
    """Tell whether the width can be divided: it is no other layer's, and does not become the model's own."""
    alone = sum(other.hidden is maker.hidden for other in makers(program)) == 1
    return (
        alone
        and maker.hidden.ratio != active
        and scaled(program, maker.hidden, Fraction(1, active)) is not None
    )


def _mixed(program: Program, maker: Maker, mixture: _Mixture, loss: Loss) -> str:
    patch, widths = Patch(program), scaled(program, maker.hidden, Fraction(1, mixture.active))
    assert widths is not None, "it was looked at before it was offered"
    widths.put(patch)
    name = patch.copy("moe", program.top(maker.call))
    around = patch.copy("shared_expert", program.top(maker.call)) if mixture.shared else None

    def mixed(updated: cst.Call) -> cst.BaseExpression:
        expert = text(updated)
        experts = f"[{expert} for _ in range({mixture.experts})]"
        routed = f"{name}({maker.width}, {experts}, top_k={mixture.top_k})"
        return patch.expression(f"{around}({expert}, {routed})" if around else routed)

    patch.change(maker.call, mixed)
    add_to_loss(patch, loss, _AUX_LOSS)
    return patch.code()


def _dense(program: Program) -> Iterator[Offer]:
    """Offer to undo what this operator does, where its traces are plain to see."""
    calls = [call for call in program.all(cst.Call) if m.matches(call.func, m.Name("MoE"))]
    patch = take_from_loss(program, "aux_loss")
    if patch is None or len(calls) != 1 or len(calls[0].args) != 3:
        return
    experts, top_k = argument(calls[0], 1, "experts"), argument(calls[0], 2, "top_k")
    maker = _maker(program, experts.value) if experts is not None else None
    routed = number(top_k.value) if top_k is not None else None
    if maker is None or not isinstance(routed, int):
        return
    around = program.parents[program.parents[calls[0]]]
    shared = m.matches(around, m.Call(func=m.Name("SharedExpert")))
    widths = scaled(program, maker.hidden, Fraction(routed + shared))
    if widths is None:
        return
    widths.put(patch)
    patch.change(around if shared else calls[0], lambda updated: maker.call)
    patch.helper("MoE", "SharedExpert")
    yield Offer("dense", f"{program.owner(calls[0])}:{leaf(maker.call.func)}", patch.code)


def _maker(program: Program, experts: cst.BaseExpression) -> Maker | None:
    """Return what makes each expert of `[MLP(config) for _ in range(4)]`."""
    made = experts.elt if isinstance(experts, cst.ListComp) else None
    return next((maker for maker in makers(program) if maker.call is made), None)


OPERATOR = MoE()
