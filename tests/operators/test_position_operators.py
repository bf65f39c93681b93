"""From any way of knowing positions to any other: what is written, that it works, that nothing is lost."""

import itertools
from functools import cache

import pytest
import torch
import yaml
from operator_support import SEEDS, assert_runs, foreign_source, namespace, seed_source

import operators
from operators import Edit, Source
from operators.syntax.masks import is_boolean
from operators.syntax.program import read_program
from operators.syntax.tree import assigned

POSITION = operators.load()["position"]
SCHEMES = ("learned", "rope", "rope-0.5", "rope-0.25", "alibi", "nope", "hybrid")
SIZES = {"block_size": 16, "vocab_size": 32, "n_layer": 2, "n_head": 2, "n_embd": 32}
FUSED = "        y = F.scaled_dot_product_attention(q, k, v, dropout_p=dropout, is_causal=True)\n"
BOTH = """\
        if self.flash:
            y = F.scaled_dot_product_attention(q, k, v, attn_mask=None, dropout_p=dropout, is_causal=True)
        else:
            att = (q @ k.transpose(-2, -1)) * (1.0 / math.sqrt(k.size(-1)))
            att = att.masked_fill(self.mask[:, :, :T, :T] == 0, float("-inf"))
            att = F.softmax(att, dim=-1)
            y = att @ v
"""
FLAGS = """\
        self.n_embd = config.n_embd
        self.flash = True
        ones = torch.ones(config.block_size, config.block_size)
        self.register_buffer("mask", torch.tril(ones)[None, None])
"""


@cache
def sites(source: Source) -> list[Edit]:
    return POSITION.sites(source)


@cache
def changed(source: Source, variant: str) -> Source:
    edit = next(edit for edit in sites(source) if edit.variant == variant)
    return operators.apply(source, edit)


@cache
def scheme(seed: str, name: str) -> Source:
    """A seed model with positions of one kind, by as few edits as it takes."""
    source = seed_source(seed)
    return source if name == label(source) else changed(source, name)


def label(source: Source) -> str:
    return next(edit.site for edit in sites(source) if not edit.variant.startswith("theta"))


def built(source: Source, seed: int = 0) -> torch.nn.Module:
    """Build a model with noise on every parameter, so that nothing is hidden by zeros."""
    module = namespace(source.model)
    torch.manual_seed(seed)
    model = module.GPT(module.GPTConfig(**SIZES)).eval()
    with torch.no_grad():
        for _, parameter in sorted(model.named_parameters()):
            parameter.add_(torch.randn_like(parameter), alpha=0.2)
    return model


def logits(model: torch.nn.Module, tokens: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        result: torch.Tensor = model(tokens, tokens)[0]
    return result


def tokens(length: int = 16) -> torch.Tensor:
    return torch.randint(32, (2, length), generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", SCHEMES)
def test_every_scheme_is_reached_and_leads_to_every_other(seed: str, name: str) -> None:
    source = scheme(seed, name)
    assert label(source) == name
    assert_runs(source, name)
    offered = {edit.variant for edit in sites(source) if not edit.variant.startswith("theta")}
    left = {name, "rope-0.5", "rope-0.25"} if name == "hybrid" else {name}
    assert offered == set(SCHEMES) - left


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("old", "new"), list(itertools.permutations(SCHEMES, 2)))
def test_every_way_between_two_schemes_works(seed: str, old: str, new: str) -> None:
    source = scheme(seed, old)
    if new in {edit.variant for edit in sites(source)}:
        assert label(changed(source, new)) == new
        assert_runs(changed(source, new), (old, new))


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", ["rope", "rope-0.5", "alibi", "hybrid"])
def test_what_was_put_in_comes_out_without_a_trace(seed: str, name: str) -> None:
    bare = scheme(seed, "nope")
    assert changed(changed(bare, name), "nope").model == bare.model


@pytest.mark.parametrize("name", SCHEMES)
def test_no_scheme_looks_ahead(name: str) -> None:
    model, seen = built(scheme("v2", name)), tokens()
    later = seen.clone()
    later[:, 10:] = (later[:, 10:] + 1) % 32
    torch.testing.assert_close(logits(model, seen)[:, :10], logits(model, later)[:, :10])


@pytest.mark.parametrize("name", [name for name in SCHEMES if name != "nope"])
def test_order_matters_to_all_schemes_and_not_without_positions(name: str) -> None:
    seen = tokens()
    swapped = seen[:, [1, 0, *range(2, 16)]]
    one_layer = 1  # two layers know positions by their causality alone

    def change(source: Source) -> float:
        module = built(source)
        blocks = module.get_submodule("transformer.h")
        del blocks[one_layer:]  # type: ignore[attr-defined]
        return float((logits(module, seen) - logits(module, swapped))[:, 2:].abs().max())

    assert change(scheme("v1", "nope")) < 1e-5
    assert change(scheme("v1", name)) > 1e-3


@pytest.mark.parametrize("name", ["alibi", "hybrid"])
def test_a_bias_means_the_same_in_both_branches_of_nanogpt(name: str) -> None:
    """The fused kernel and attention spelled out, as nanoGPT has them side by side, get the same bias."""
    model = (
        seed_source("v1").model.replace(FUSED, BOTH).replace("        self.n_embd = config.n_embd\n", FLAGS)
    )
    source = changed(Source(model, ""), name)
    fused, spelled = built(source), built(source)
    for module in spelled.modules():
        if hasattr(module, "flash"):
            module.flash = False
    torch.testing.assert_close(logits(fused, tokens()), logits(spelled, tokens()), atol=1e-5, rtol=1e-5)
    assert (logits(fused, tokens()) - logits(built(Source(model, "")), tokens())).abs().max() > 1e-3


def test_a_bias_takes_the_place_of_causality() -> None:
    model = scheme("v1", "alibi").model
    assert "F.scaled_dot_product_attention(q, k, v, dropout_p=dropout, attn_mask=self.alibi(q))" in model
    assert "        self.alibi = ALiBi(config.n_head, config.block_size)\n\n    def forward" in model


ATTEND = """\
import torch
import torch.nn as nn
from torch.nn import functional as F


class Attention(nn.Module):
    def __init__(self, n_head, block_size):
        super().__init__()
        self.n_head = n_head
        at = torch.arange(block_size)
        near = (at[:, None] >= at) & (at[:, None] - at < 4)
        self.register_buffer("near", MASK)

    def forward(self, q, k, v):
        T = q.size(-2)
        return F.scaled_dot_product_attention(q, k, v, attn_mask=self.near[:T, :T])
"""


@pytest.mark.parametrize(
    ("mask", "expected"),
    [
        ("near", 'attn_mask=torch.where(self.near[:T, :T], self.alibi(q), float("-inf")))'),
        (
            'torch.zeros(near.shape).masked_fill(~near, float("-inf"))',
            "attn_mask=self.near[:T, :T] + self.alibi(q))",
        ),
    ],
)
def test_a_bias_is_added_to_a_mask_that_is_there(mask: str, expected: str) -> None:
    source = Source(ATTEND.replace("MASK", mask), "")
    after = changed(source, "alibi")
    assert expected in after.model
    old, new = (namespace(text.model).Attention(2, 8) for text in (source, after))
    q, k, v = torch.randn(3, 1, 2, 8, 4, generator=torch.Generator().manual_seed(0))
    far = v.clone()
    far[:, :, 0] += 1  # beyond the window of the last query
    torch.testing.assert_close(new(q, k, v)[..., -1, :], new(q, k, far)[..., -1, :])
    assert (new(q, k, v) - old(q, k, v)).abs().max() > 1e-3
    assert changed(after, "nope").model == source.model


def test_a_mask_of_unknown_kind_is_left_alone() -> None:
    text = ATTEND.replace("MASK", "near").replace(
        "def forward(self, q, k, v)", "def forward(self, q, k, v, mask)"
    )
    source = Source(text.replace("self.near[:T, :T]", "mask"), "")
    assert "alibi" not in {edit.variant for edit in sites(source)}


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("a < b", True),
        ("torch.ones(T, T, dtype=torch.bool).tril()", True),
        ("~torch.tril(torch.ones(T, T)).to(torch.bool)", True),
        ("(a < b) & (b < c)", True),
        ("torch.tril(torch.ones(T, T))[:T, :T]", False),
        ("torch.full((T, T), float('-inf')).triu(1)", False),
        ("(a < b).float()", False),
        ("(a < b).to(x.dtype)", False),
        ("-1e9 * (1 - torch.ones(T, T))", False),
        ("given", None),
        ("given.unsqueeze(0)", None),
    ],
)
def test_masks_are_told_from_biases(expression: str, expected: bool | None) -> None:
    program = read_program(
        f"import torch\n\ndef f(a, b, c, x, T, given):\n    mask = {expression}\n    return mask\n"
    )
    assert program is not None
    line = program.functions["f"].body.body[0]
    pair = assigned(line)
    assert pair is not None
    assert is_boolean(program, pair[1]) is expected
    assert is_boolean(program, program.reads(program.module, "mask")[0]) is expected


def test_a_part_of_the_head_keeps_the_base_and_the_bias() -> None:
    source = scheme("v1", "rope")
    theta = next(edit for edit in POSITION.sites(source) if edit.variant == "theta-100")
    part = changed(operators.apply(source, theta), "rope-0.25")
    assert "def __init__(self, rotary_dim, max_positions, theta=100.0):" in part.model
    assert "PartialRotaryEmbedding(config.n_embd // config.n_head // 4, config.block_size)" in part.model
    both = changed(part, "hybrid")
    assert "PartialRotaryEmbedding(config.n_embd // config.n_head // 4, config.block_size)" in both.model
    assert changed(both, "rope").model == part.model
    assert changed(part, "rope").model == operators.apply(source, theta).model


def test_the_base_in_the_configuration_is_used_again() -> None:
    source = seed_source("v2")
    given = Source(source.model, "model_args: {rope_theta: 500.0}\n")
    back = changed(changed(given, "alibi"), "rope")
    assert "RotaryEmbedding(self.head_dim, config.block_size, config.rope_theta)" in back.model


def test_an_argument_that_no_longer_counts_goes_unless_a_call_gives_it() -> None:
    source = seed_source("v1")
    assert "def get_num_params(self):" in changed(source, "rope").model
    calls = Source(source.model.replace("self.get_num_params()", "self.get_num_params(False)"), "")
    assert "def get_num_params(self, non_embedding=True):" in changed(calls, "rope").model


def test_a_learned_embedding_is_written_as_the_file_writes_that_of_tokens() -> None:
    there_and_back = changed(changed(seed_source("v1"), "rope"), "learned").model
    for line in (
        "                wpe=nn.Embedding(config.block_size, config.n_embd),\n",
        "        pos = torch.arange(T, device=idx.device)\n"
        "        x = self.transformer.wte(idx) + self.transformer.wpe(pos)  # (B, T, n_embd)\n",
        "        self.transformer.wpe.weight = nn.Parameter(self.transformer.wpe.weight[:block_size])\n",
    ):
        assert line in there_and_back
    speedrun = changed(foreign_source("speedrun"), "learned").model
    assert "        self.wpe = nn.Embedding(max_seq_len, model_dim)\n" in speedrun
    assert "        pos = torch.arange(idx.size(1), device=idx.device)\n" in speedrun
    assert "x = x0 = norm(self.embed(idx) + self.wpe(pos))\n" in speedrun


def test_rotation_that_a_function_does_may_go_or_get_a_bias() -> None:
    source = foreign_source("llama_like")
    assert {edit.variant for edit in sites(source) if edit.site == "rope"} == {
        *("hybrid", "alibi", "nope", "learned")
    }
    assert "apply_rotary_pos_emb" not in changed(source, "nope").model
    after = changed(source, "hybrid").model
    assert "nn.functional.softmax(attn_weights + self.relative_bias(query_states), dim=-1)" in after
    assert "RelativeBias(config.num_attention_heads, config.max_position_embeddings)" in after


def test_a_head_that_does_not_know_which_one_it_is_gets_no_bias() -> None:
    variants = {edit.variant for edit in POSITION.sites(foreign_source("lecture"))}
    assert variants == {"rope", "rope-0.5", "rope-0.25", "nope"}


@pytest.mark.parametrize("other", ["insert_qknorm", "tie_embeddings", "norm_placement"])
@pytest.mark.parametrize("name", ["alibi", "hybrid", "learned"])
def test_other_edits_survive(name: str, other: str) -> None:
    source = seed_source("v2")
    edit = operators.load()[other].sites(source)[0]
    one = changed(operators.apply(source, edit), name)
    two = operators.apply(changed(source, name), edit)
    assert operators.canonical(one) == operators.canonical(two)


@pytest.mark.parametrize("name", ["alibi", "hybrid"])
def test_an_experiment_may_give_any_length(name: str) -> None:
    source = Source(scheme("v2", name).model, yaml.safe_dump({"model_args": {"block_size": 32}}))
    assert_runs(source, name)


def test_an_edit_that_was_made_is_not_offered_again() -> None:
    edit = Edit("position", "alibi", "learned")
    assert edit in POSITION.sites(seed_source("v1"))
    assert edit not in POSITION.sites(operators.apply(seed_source("v1"), edit))
