"""What the operators of attention write, what the results compute, and that other edits survive them."""

from __future__ import annotations

import difflib
import types
from collections.abc import Callable
from typing import Any

import pytest
import torch
from operator_support import applied, foreign_source, namespace, seed_source
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

import operators
from foundry import gates
from operators import Edit, Source

SIZES = {"block_size": 24, "vocab_size": 32, "n_layer": 2, "n_head": 4, "n_embd": 32}
EXPERIMENT = "model_args:\n  n_layer: 2\n  n_head: 4\n  n_embd: 32\n  block_size: 24\n"

FALLBACK = """\
import math
import torch
import torch.nn as nn
from torch.nn import functional as F

class SelfAttention(nn.Module):
    def __init__(self, config):
        super().__init__()
        # all three at once
        self.c_attn = nn.Linear(config.n_embd, 3 * config.n_embd)
        self.attn_dropout = nn.Dropout(config.dropout)
        self.n_head = config.n_head
        self.n_embd = config.n_embd
        self.rate = config.dropout
        self.flash = hasattr(torch.nn.functional, 'scaled_dot_product_attention')
        if not self.flash:
            self.register_buffer("bias", torch.tril(torch.ones(config.block_size, config.block_size)))

    def forward(self, x):
        B, T, C = x.size()
        q, k, v  = self.c_attn(x).split(self.n_embd, dim=2)
        k = k.view(B, T, self.n_head, C // self.n_head).transpose(1, 2) # (B, nh, T, hs)
        q = q.view(B, T, self.n_head, C // self.n_head).transpose(1, 2) # (B, nh, T, hs)
        v = v.view(B, T, self.n_head, C // self.n_head).transpose(1, 2) # (B, nh, T, hs)

        # tokens look back
        if self.flash:
            y = F.scaled_dot_product_attention(q, k, v, attn_mask=None, dropout_p=self.rate, is_causal=True)
        else:
            att = (q @ k.transpose(-2, -1)) * (1.0 / math.sqrt(k.size(-1)))
            att = att.masked_fill(self.bias[:T,:T] == 0, float('-inf'))
            y = self.attn_dropout(F.softmax(att, dim=-1)) @ v
        return y.transpose(1, 2).contiguous().view(B, T, C)
"""


def source(name: str) -> Source:
    return Source(seed_source(name).model, EXPERIMENT)


def edit(before: Source, operator: str, variant: str) -> Source:
    """Make the first edit of this operator and variant."""
    found = [e for e in operators.load()[operator].sites(before) if e.variant == variant]
    return applied(before, found[0])


def variants(of: Source, operator: str = "attention") -> list[str]:
    return [e.variant for e in operators.load()[operator].sites(of)]


def diff(before: Source, after: Source) -> str:
    lines = [(s.model + s.experiment).splitlines() for s in (before, after)]
    changed = difflib.unified_diff(*lines, lineterm="", n=0)
    return "\n".join(line for line in changed if line[:2] not in ("--", "++", "@@"))


def built(of: Source, **more: int) -> nn.Module:
    module: types.ModuleType = namespace(of.model)
    torch.manual_seed(0)
    made: nn.Module = module.GPT(module.GPTConfig(**(SIZES | more))).eval()
    return made


def logits(model: nn.Module, length: int = 24) -> Tensor:
    tokens = torch.randint(32, (2, length), generator=torch.Generator().manual_seed(1))
    result: Tensor = model(tokens, tokens)[0]
    return result.detach()


class Masked(TorchFunctionMode):
    """Limit every causal attention to the pairs that a rule allows: the dense formula, from outside."""

    def __init__(self, allowed: Callable[[int, Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.allowed, self.layer = allowed, 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if func is F.scaled_dot_product_attention:
            at = torch.arange(args[0].size(-2))
            i, j = at[:, None], at[None]
            del kwargs["is_causal"]
            kwargs["attn_mask"] = (j <= i) & self.allowed(self.layer, i, j)
            self.layer += 1
        return func(*args, **kwargs)


def window(size: int) -> Callable[[int, Tensor, Tensor], Tensor]:
    return lambda layer, i, j: i - j < size


RULES: dict[str, Callable[[int, Tensor, Tensor], Tensor]] = {
    "sliding_window_8": window(8),
    "block_sparse_4": lambda layer, i, j: (i // 4 - j // 4 <= 1) | (j < 4),
    "strided_4": lambda layer, i, j: (i - j < 4) | ((i - j) % 4 == 0),
    "local_global_2": lambda layer, i, j: (i - j < 8) | (layer == 1),
}


@pytest.mark.parametrize("seed", ["v1", "v2"])
@pytest.mark.parametrize("variant", RULES)
def test_a_sparse_model_is_the_dense_one_masked(seed: str, variant: str) -> None:
    sparse, dense = built(edit(source(seed), "attention", variant)), built(source(seed))
    sparse.load_state_dict(dense.state_dict())
    for length in (24, 19, 3):
        with Masked(RULES[variant]):
            expected = logits(dense, length)
        torch.testing.assert_close(logits(sparse, length), expected, atol=1e-5, rtol=1e-5)


def test_grouped_heads_are_heads_that_share() -> None:
    """A model of 2 key-value heads is one of 4 whose pairs of heads have the same keys and values."""
    grouped, whole = built(edit(source("v1"), "attention", "gqa_2kv")), built(source("v1"))
    weights = grouped.state_dict()
    for name in [name for name in weights if "c_attn" in name]:
        q, k, v = weights[name].split((32, 16, 16))
        shared = [x.unflatten(0, (2, 8)).repeat_interleave(2, dim=0).flatten(0, 1) for x in (k, v)]
        weights[name] = torch.cat((q, *shared))
    whole.load_state_dict(weights)
    torch.testing.assert_close(logits(grouped), logits(whole), atol=1e-5, rtol=1e-5)


def test_as_many_key_value_heads_as_heads_is_where_it_began() -> None:
    there = edit(source("v1"), "attention", "gqa_1kv")
    back = edit(there, "attention", "mha")
    assert torch.equal(logits(built(back)), logits(built(source("v1"))))


@pytest.mark.parametrize("variant", ["gqa_1kv", "gqa_2kv"])
def test_grouped_heads_beside_a_fallback_agree_in_both(variant: str) -> None:
    after = edit(Source(FALLBACK, EXPERIMENT), "attention", variant)
    assert "repeat_interleave(self.n_head // self.n_kv_head, dim=1)" in after.model
    config = types.SimpleNamespace(**SIZES, dropout=0.0)
    torch.manual_seed(0)
    layer = namespace(after.model).SelfAttention(config)
    x = torch.randn(2, 24, 32)
    fused = layer(x)
    layer.flash, layer.bias = False, torch.ones(24, 24).tril()
    torch.testing.assert_close(layer(x), fused)


def test_grouping_a_fused_projection_reads_as_a_person_would_write_it() -> None:
    before = source("v1")
    changed = diff(before, edit(before, "attention", "gqa_2kv"))
    assert (
        changed.replace("  # query, key, value", "")
        == """\
+    n_kv_head: int = 2  # of keys and values, must divide n_head
-        self.c_attn = nn.Linear(config.n_embd, 3 * config.n_embd, bias=config.bias)
+        self.n_kv_head = config.n_kv_head
+        self.kv_dim = self.n_kv_head * (config.n_embd // config.n_head)
+        self.c_attn = nn.Linear(config.n_embd, config.n_embd + 2 * self.kv_dim, bias=config.bias)
-        q, k, v = self.c_attn(x).split(self.n_embd, dim=2)
+        q, k, v = self.c_attn(x).split((self.n_embd, self.kv_dim, self.kv_dim), dim=2)
-        k = k.view(B, T, self.n_head, C // self.n_head).transpose(1, 2)
-        v = v.view(B, T, self.n_head, C // self.n_head).transpose(1, 2)
+        k = k.view(B, T, self.n_kv_head, C // self.n_head).transpose(1, 2)
+        v = v.view(B, T, self.n_kv_head, C // self.n_head).transpose(1, 2)
-        y = F.scaled_dot_product_attention(q, k, v, dropout_p=dropout, is_causal=True)
+        y = F.scaled_dot_product_attention(q, k, v, dropout_p=dropout, is_causal=True, enable_gqa=True)"""
    )


def test_where_a_program_counts_key_value_heads_only_the_number_changes() -> None:
    before = source("v2")
    assert (
        diff(before, edit(before, "attention", "gqa_1kv"))
        == """\
-    n_kv_head: int = 2  # must divide n_head; n_head // n_kv_head query heads share one key and value
+    n_kv_head: int = 1  # must divide n_head; n_head // n_kv_head query heads share one key and value"""
    )
    library = foreign_source("llama_like")
    assert diff(library, edit(library, "attention", "mha")).splitlines() == [
        "-    num_key_value_heads: int = 2",
        "+    num_key_value_heads: int = 4",
    ]


def test_the_number_that_counts_is_the_experiment_s() -> None:
    before = Source(source("v2").model, EXPERIMENT + "  n_kv_head: 4  # each its own\n")
    after = edit(before, "attention", "gqa_2kv")
    assert after == Source(before.model, before.experiment.replace("n_kv_head: 4", "n_kv_head: 2"))
    assert variants(before)[:2] == ["gqa_1kv", "gqa_2kv"]
    assert "n_kv_head: 4" in edit(after, "attention", "mha").experiment


def test_only_divisors_of_the_heads_are_offered() -> None:
    three = Source(source("v1").model, "model_args: {n_head: 6, n_embd: 48, block_size: 64}\n")
    assert [v for v in variants(three) if v.startswith("gqa")] == ["gqa_1kv", "gqa_2kv"]


def test_a_sparse_layer_is_called_in_place_of_the_kernel() -> None:
    before = source("v1")
    changed = diff(before, edit(before, "attention", "sliding_window_8")).splitlines()
    assert [line for line in changed if line.startswith("-")] == [
        "-        y = F.scaled_dot_product_attention(q, k, v, dropout_p=dropout, is_causal=True)"
    ]
    assert changed[-3:-1] == ["+        self.attend = SlidingWindowAttention(8)", changed[-2]]
    assert changed[-1] == "+        y = self.attend(q, k, v, dropout_p=dropout)"


def test_local_and_global_layers_take_turns_in_two_lines() -> None:
    before = edit(source("v2"), "attention", "sliding_window_8")
    assert (
        diff(before, edit(before, "attention", "local_global_2"))
        == """\
+        for block in self.layers[1::2]:  # every second layer sees all that came before
+            block.attn.attend.window = None"""
    )


@pytest.mark.parametrize("variant", RULES)
@pytest.mark.parametrize("seed", ["v1", "v2"])
def test_dense_takes_back_what_a_pattern_put_in(seed: str, variant: str) -> None:
    there = edit(source(seed), "attention", variant)
    assert "dense" not in variants(source(seed))
    assert edit(there, "attention", "dense") == source(seed)


def test_a_size_is_one_number() -> None:
    there = edit(source("v1"), "attention", "strided_4")
    assert diff(there, edit(there, "attention", "strided_8")).splitlines() == [
        "-        self.attend = StridedAttention(4)",
        "+        self.attend = StridedAttention(8)",
    ]


def test_a_fallback_that_would_see_more_goes() -> None:
    after = edit(Source(FALLBACK, EXPERIMENT), "attention", "block_sparse_4").model
    assert "flash" not in after
    assert "att = " not in after
    assert "import math" not in after
    assert (
        "        # tokens look back\n        y = self.attend(q, k, v, dropout_p=self.rate)\n        return"
        in after
    )


def test_a_latent_takes_the_place_of_two_projections() -> None:
    before = Source(FALLBACK, EXPERIMENT)
    changed = diff(before, edit(before, "attention", "mla")).splitlines()
    assert [line for line in changed if line.startswith("-")] == [
        "-        self.c_attn = nn.Linear(config.n_embd, 3 * config.n_embd)",
        "-        q, k, v  = self.c_attn(x).split(self.n_embd, dim=2)",
    ]
    assert changed[-4:] == [
        "+        self.kv = LatentKeyValue(config.n_embd, config.n_head, latent=config.n_embd // 4)",
        "-        q, k, v  = self.c_attn(x).split(self.n_embd, dim=2)",
        "+        q  = self.c_attn(x)",
        "+        k, v = self.kv(x)",
    ]


def test_a_latent_leaves_nothing_of_grouped_heads() -> None:
    for seed in ("v1", "v2"):
        before = source(seed) if seed == "v2" else edit(source(seed), "attention", "gqa_2kv")
        after = edit(before, "attention", "mla").model
        assert not any(word in after for word in ("n_kv_head", "kv_dim", "enable_gqa", "k_proj", "v_proj"))
        assert "gqa_1kv" not in variants(Source(after, EXPERIMENT))


def test_a_field_that_the_experiment_gives_stays() -> None:
    before = Source(source("v2").model, EXPERIMENT + "  n_kv_head: 2\n")
    after = edit(before, "attention", "mla")
    built(after, n_kv_head=2)
    assert not any(v.startswith("gqa") or v == "mha" for v in variants(after))


def test_of_rotated_heads_a_latent_rotates_the_shared_part() -> None:
    after = edit(source("v2"), "attention", "mla").model
    assert (
        "self.rope = PartialRotaryEmbedding(self.head_dim // 2, config.block_size, config.rope_theta)"
        in after
    )
    assert "            shared_dim=self.head_dim // 2,\n        )\n" in after


def test_layers_that_something_else_reads_stay() -> None:
    tied = FALLBACK.replace("self.rate = config.dropout", "self.scale = self.c_attn.weight.std()")
    assert [v for v in variants(Source(tied, EXPERIMENT)) if v.startswith(("gqa", "mla"))] == []


def test_a_mask_of_another_kind_stays() -> None:
    masked = FALLBACK.replace("attn_mask=None", "attn_mask=self.mask").replace(", is_causal=True", "")
    assert [v for v in variants(Source(masked, EXPERIMENT)) if "_" in v and not v.startswith("gqa")] == []


@pytest.mark.parametrize("kind", ["gqa_2kv", "mla", "sliding_window_8", "block_sparse_4", "local_global_2"])
@pytest.mark.parametrize(
    ("operator", "variant", "trace"),
    [
        ("insert_qknorm", "rms-learned", "self.q_norm(q), self.k_norm(k)"),
        ("position", "rope", "self.rope(q), self.rope(k)"),
    ],
)
def test_other_edits_survive_in_either_order(kind: str, operator: str, variant: str, trace: str) -> None:
    orders = (((operator, variant), ("attention", kind)), (("attention", kind), (operator, variant)))
    for first, second in orders:
        after = edit(edit(source("v1"), *first), *second)
        assert trace in after.model
        assert torch.isfinite(logits(built(after))).all()


def test_renamed_attributes_are_followed() -> None:
    renamed = source("v1").model.replace("c_attn", "project").replace("self.n_head", "self.heads")
    after = edit(Source(renamed, EXPERIMENT), "attention", "gqa_2kv")
    assert "self.project(x).split((self.n_embd, self.kv_dim, self.kv_dim), dim=2)" in after.model
    assert logits(built(after)).shape == (2, 24, 32)


@pytest.mark.parametrize(
    ("seed", "variant"),
    [
        ("v1", "gqa_1kv"),
        ("v2", "mla"),
        ("v2", "sliding_window_256"),
        ("v1", "block_sparse_32"),
        ("v2", "strided_16"),
        ("v1", "local_global_2"),
    ],
)
def test_the_gates_let_them_pass(seed: str, variant: str) -> None:
    """Their miniature has a context of 16: shorter than these windows."""
    args = {"n_layer": 2, "n_head": 4, "n_embd": 64, "block_size": 512}
    lines = "".join(f"  {name}: {value}\n" for name, value in args.items())
    after = edit(Source(source(seed).model, f"model_args:\n{lines}"), "attention", variant)
    subject = gates.Subject(source=after.model, model_args={**args, "vocab_size": 63}, batch_size=2)
    assert gates.check(subject) is None


@pytest.mark.parametrize("seed", ["v1", "v2"])
def test_every_variant_is_named_in_words(seed: str) -> None:
    words = {operators.words(e) for e in operators.load()["attention"].sites(source(seed))}
    assert len(words) == len(variants(source(seed)))
    assert "attention dense → sliding window 8" in words
    assert operators.words(Edit("attention", "gqa_2kv", "A:mha")) == "attention MHA → GQA with 2 KV heads"


@pytest.mark.parametrize(
    ("experiment", "offered"),
    [
        ("model_args: {n_head: 4, n_embd: 64}", {"x0.5": "n_head: 2", "x2": "n_head: 8"}),
        ("model_args: {n_head: 1, n_embd: 64}", {"x2": "n_head: 2"}),
        ("model_args: {n_head: 4, n_embd: 64, n_kv_head: 4}", {"x0.5": "n_kv_head: 2", "x2": "n_kv_head: 8"}),
        ("model_args: {n_head: 4, n_embd: 64, n_kv_head: 2}", {"x0.5": "n_head: 2", "x2": "n_kv_head: 2"}),
        ("model_args: {n_head: 2, n_embd: 6}", {}),
        ("model_args: {n_head: 2, n_embd: 8}", {"x0.5": "n_head: 1"}),
        ("model_args: {n_embd: 64}", {}),
    ],
)
def test_heads_halve_and_double(experiment: str, offered: dict[str, str]) -> None:
    before = Source("", experiment)
    assert variants(before, "heads") == list(offered)
    for variant, words in offered.items():
        assert words in edit(before, "heads", variant).experiment


def test_heads_stay_a_multiple_of_the_program_s_key_value_heads() -> None:
    assert variants(Source(source("v2").model, "model_args: {n_head: 2, n_embd: 64}"), "heads") == ["x2"]
