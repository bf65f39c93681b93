"""Change how tokens attend to each other: heads that share keys and values, a latent, a part of the past.

Shazeer, "Fast Transformer Decoding: One Write-Head is All You Need" (2019); Ainslie et al., "GQA" (2023);
DeepSeek-AI, "DeepSeek-V2" (2024) for the latent; Beltagy et al., "Longformer" (2020) for sliding windows;
Zaheer et al., "Big Bird" (2020) for blocks; Child et al., "Generating Long Sequences with Sparse
Transformers" (2019) for strides; Gemma Team, "Gemma 2" (2024) for local layers between global ones.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import ClassVar

import libcst as cst

from operators.operator import Example, ModelOperator, Offer, place, sentence
from operators.source import Edit, Source
from operators.syntax.attending import (
    BLOCK_SPARSE,
    SLIDING,
    STRIDED,
    Dense,
    Sparse,
    attend_to_everything,
    attend_with,
    class_name,
    dense,
    global_layers,
    size_of,
    sparse,
)
from operators.syntax.attention import Attention, attentions
from operators.syntax.experiment import Experiment, read_experiment
from operators.syntax.kv_heads import Counted, counted, group, groups, heads_of
from operators.syntax.latent import latent
from operators.syntax.lengths import context, local_window
from operators.syntax.patch import Patch
from operators.syntax.program import Class, Program, read_program
from operators.syntax.projections import projections
from operators.syntax.stack import stack
from operators.syntax.tree import leaf

_SIZES = {  # at a block of 1024, longer ones cost as much as attending to everything
    SLIDING: (8, 16, 32, 64, 128, 256),
    BLOCK_SPARSE: (4, 8, 16, 32, 64, 128),
    STRIDED: (4, 8, 16, 32, 64),
}
_SHARE = {SLIDING: 2, BLOCK_SPARSE: 4, STRIDED: 2}  # of the context that a size may be, at least
_PERIODS = (2, 4)
_GROUPS = (1, 2, 4, 8)


class AttentionKind(ModelOperator):
    name = "attention"
    family = "knowledge"
    summary = (
        "Share key-value heads, make keys and values from a latent, or attend to a part of what came before."
    )
    preserves = frozenset({"shapes"})
    aliases: ClassVar[Mapping[str, str]] = {"mqa": "gqa_1kv"}
    examples = (
        Example(
            """\
import torch.nn as nn
from torch.nn import functional as F

class SelfAttention(nn.Module):
    def __init__(self, n_embd, n_head):
        super().__init__()
        self.n_head = n_head
        self.q_proj = nn.Linear(n_embd, n_embd)
        self.k_proj = nn.Linear(n_embd, n_embd)
        self.v_proj = nn.Linear(n_embd, n_embd)

    def forward(self, x):
        B, T, C = x.size()
        q = self.q_proj(x).view(B, T, self.n_head, -1).transpose(1, 2)  # (B, nh, T, hs)
        k = self.k_proj(x).view(B, T, self.n_head, -1).transpose(1, 2)
        v = self.v_proj(x).view(B, T, self.n_head, -1).transpose(1, 2)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return y.transpose(1, 2).reshape(B, T, C)
""",
            """\
import torch.nn as nn
from torch.nn import functional as F

class SelfAttention(nn.Module):
    def __init__(self, n_embd, n_head):
        super().__init__()
        self.n_head = n_head
        self.q_proj = nn.Linear(n_embd, n_embd)
        self.n_kv_head = 1
        self.kv_dim = self.n_kv_head * (n_embd // n_head)
        self.k_proj = nn.Linear(n_embd, self.kv_dim)
        self.v_proj = nn.Linear(n_embd, self.kv_dim)

    def forward(self, x):
        B, T, C = x.size()
        q = self.q_proj(x).view(B, T, self.n_head, -1).transpose(1, 2)  # (B, nh, T, hs)
        k = self.k_proj(x).view(B, T, self.n_kv_head, -1).transpose(1, 2)
        v = self.v_proj(x).view(B, T, self.n_kv_head, -1).transpose(1, 2)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
        return y.transpose(1, 2).reshape(B, T, C)
""",
            "gqa_1kv",
        ),
        Example(
            "from torch.nn import functional as F\n\ndef attend(q, k, v, mask):\n"
            "    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask)\n"
        ),
    )

    def words(self, edit: Edit) -> str:
        return sentence(f"attention {_called(place(edit.site)[1])} → {_called(edit.variant)}")

    def apply(self, source: Source, edit: Edit) -> Source:
        program = read_program(source.model)
        found = _in_experiment(program, read_experiment(source.experiment)) if program is not None else ()
        for offer in found:
            if Edit(self.name, offer.variant, offer.site) == edit:
                return replace(source, experiment=offer.rewrite())
        return super().apply(source, edit)

    def find(self, program: Program, experiment: Experiment) -> Iterator[Offer]:
        places = [spot for spot in attentions(program) if spot.owner is not None]
        yield from _in_experiment(program, experiment)
        number_given = counted(program, experiment)
        if number_given is not None and not experiment.sets(number_given.field):
            yield from _renumbered(program, experiment, number_given)
        for spot in places:
            site = program.owner(spot.statement)
            yield from _grouped(program, experiment, spot, site)
            yield from _patterns(program, experiment, spot, site)


def _called(kind: str) -> str:
    """Say a variant, or the kind that a site names."""
    if kind == "mha":
        return "MHA"
    if kind.startswith("gqa_"):
        count = kind[4:-2]
        return "MQA" if count == "1" else f"GQA with {count} KV heads"
    if kind == "mla":
        return "latent KV (MLA)"
    if kind.startswith("local_global_"):
        return (
            "every second layer local"
            if kind[13:] == "2"
            else f"{int(kind[13:]) - 1} of {kind[13:]} layers local"
        )
    if kind in ("dense", "kv"):
        return {"dense": "dense", "kv": "KV heads"}[kind]
    pattern, _, size = kind.rpartition("_")
    return f"{pattern.replace('_', ' ')} {size}"


def _counts(heads: int | None, current: int | None) -> dict[str, int]:
    """Return the numbers of key-value heads worth a variant, by its name."""
    if heads is None:
        return {"gqa_1kv": 1} if current != 1 else {}
    found = {f"gqa_{count}kv": count for count in _GROUPS if heads % count == 0 and count < heads}
    return {variant: count for variant, count in {**found, "mha": heads}.items() if count != current}


def _kind(count: int | None, heads: int | None) -> str:
    return "kv" if count is None else "mha" if count == heads else f"gqa_{count}kv"


def _in_experiment(program: Program, experiment: Experiment) -> Iterator[Offer]:
    """Offer other numbers of key-value heads where the experiment gives the one that counts."""
    given = counted(program, experiment)
    if given is not None and experiment.sets(given.field):
        path, heads = f"model_args.{given.field}", heads_of(program, experiment)
        for variant, count in _counts(heads, given.value).items():
            site = f"{path}:{_kind(given.value, heads)}"
            yield Offer(variant, site, partial(experiment.with_values, {path: str(count)}))


def _renumbered(program: Program, experiment: Experiment, given: Counted) -> Iterator[Offer]:
    """Offer other numbers of key-value heads where the program gives the one that counts."""
    heads = heads_of(program, experiment)
    if given.node is None:
        return
    for variant, count in _counts(heads, given.value).items():
        patch = Patch(program)
        patch.replace(given.node, str(count))
        yield Offer(variant, f"{given.field}:{_kind(given.value, heads)}", patch.code)


def _grouped(program: Program, experiment: Experiment, spot: Attention, site: str) -> Iterator[Offer]:
    """Offer shared heads where each query head has its own keys and values, and a latent in any case."""
    made = projections(program, spot)
    if made is None:
        return
    heads, given = heads_of(program, experiment), counted(program, experiment)
    if given is None and groups(program, made) is not None:
        for variant, count in _counts(heads, heads).items():
            yield Offer(variant, f"{site}:mha", partial(group, program, made, count))
    patch = latent(program, experiment, made)
    if patch is not None:
        kind = "mha" if given is None else _kind(given.value, heads)
        yield Offer("mla", f"{site}:{kind}", patch.code)


def _patterns(program: Program, experiment: Experiment, spot: Attention, site: str) -> Iterator[Offer]:
    """Offer what a token may attend to: everything before it, or a part."""
    length = context(program, experiment)
    layer, whole = sparse(program, spot), dense(program, spot)
    if layer is not None:
        kind = f"{layer.kind}_{size_of(layer)}"
        for size in _SIZES[layer.kind]:
            if size != size_of(layer) and size * _SHARE[layer.kind] <= length:
                patch = Patch(program)
                patch.replace(layer.size, str(size))
                yield Offer(f"{layer.kind}_{size}", f"{site}:{kind}", patch.code)
        yield Offer("dense", f"{site}:{kind}", partial(_dense, program, experiment, layer))
        if layer.kind == SLIDING:
            yield from _global(program, experiment, spot, f"{site}:{kind}", layer)
    elif whole is not None:
        for kind, sizes in _SIZES.items():
            for size in sizes if _is_free(program, kind) else ():
                if size * _SHARE[kind] <= length:
                    yield Offer(
                        f"{kind}_{size}", f"{site}:dense", partial(_sparse, program, whole, kind, size)
                    )
        if _is_free(program, SLIDING):
            yield from _global(program, experiment, spot, f"{site}:dense", whole)


def _is_free(program: Program, kind: str) -> bool:
    return class_name(kind) not in program.bound()


def _sparse(program: Program, whole: Dense, kind: str, size: int) -> str:
    patch = Patch(program)
    attend_with(program, patch, whole, kind, size)
    return patch.code()


def _dense(program: Program, experiment: Experiment, layer: Sparse) -> str:
    patch = Patch(program)
    attend_to_everything(program, patch, layer, grouped=counted(program, experiment) is not None)
    return patch.code()


def _global(
    program: Program, experiment: Experiment, spot: Attention, site: str, now: Dense | Sparse
) -> Iterator[Offer]:
    """Offer windows in all layers but each so-many-th, which goes on to see everything."""
    layers = stack(program)
    if layers is None or layers.block is None or spot.owner is None:
        return
    held = [name for name, _, value in layers.block.own() if _makes(value, spot.owner)]
    if len(held) != 1 or (isinstance(now, Sparse) and global_layers(program, now.attribute)):
        return
    depth = experiment.integer("model_args.n_layer")
    for period in _PERIODS:
        if depth is None or period <= depth:
            path = f"{layers.blocks}[{period - 1}::{period}]"
            loop = (path, held[0], period)
            window = local_window(program, experiment)
            rewrite = partial(_widened, program, layers.made, now, window, loop)
            yield Offer(f"local_global_{period}", site, rewrite)


def _makes(value: cst.BaseExpression, owner: Class) -> bool:
    return isinstance(value, cst.Call) and leaf(value.func) == owner.name


def _widened(
    program: Program, made: cst.CSTNode, now: Dense | Sparse, window: int, loop: tuple[str, str, int]
) -> str:
    patch = Patch(program)
    name = now.attribute if isinstance(now, Sparse) else attend_with(program, patch, now, SLIDING, window)
    blocks, attention, period = loop
    which = "every second layer" if period == 2 else f"one layer in {period}"
    patch.after(
        made,
        f"for block in {blocks}:  # {which} sees all that came before",
        f"    block.{attention}.{name}.window = None",
    )
    return patch.code()


OPERATOR = AttentionKind()
