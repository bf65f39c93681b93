"""Norms move before, behind and around the sublayers of a block, in whatever manner the block is written."""

import itertools

import pytest
import torch
from operator_support import FOREIGN, SEEDS, assert_runs, foreign_source, namespace, seed_source

import operators
from operators import Source

PLACEMENT = operators.load()["norm_placement"]
NAMES = ("pre", "post", "sandwich")
HEAD = """\
import torch
import torch.nn as nn
from torch.nn import functional as F


def rms(x):
    return F.rms_norm(x, (x.size(-1),))


class Block(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.ln = nn.LayerNorm(dim)
        self.mix = nn.Linear(dim, dim)
        self.drop = nn.Dropout(0.1)

"""


def changed(source: Source, variant: str) -> Source:
    (edit,) = [edit for edit in PLACEMENT.sites(source) if edit.variant == variant]
    return operators.apply(source, edit)


def placement(source: Source) -> str:
    (found,) = {edit.site.partition(":")[2] for edit in PLACEMENT.sites(source)}
    return found


def block(*lines: str) -> Source:
    """A block whose forward has these lines."""
    body = "".join(f"        {line}\n" for line in lines)
    return Source(f"{HEAD}    def forward(self, x):\n{body}", "")


def body(source: Source) -> list[str]:
    """The lines of a block's forward."""
    return [line.strip() for line in source.model.partition("def forward(self, x):\n")[2].splitlines()]


WITHOUT_BLOCKS = {"encoder", "functional"}  # torch's own layers; functions


@pytest.mark.parametrize("name", [*SEEDS, *sorted({*FOREIGN} - WITHOUT_BLOCKS)])
def test_every_placement_leads_to_every_other_and_back(name: str) -> None:
    source = seed_source(name) if name in SEEDS else foreign_source(name)
    made = {"pre": source} | {variant: changed(source, variant) for variant in NAMES[1:]}
    for old, new in itertools.permutations(NAMES, 2):
        after = changed(made[old], new)
        assert after.model == made[new].model, (old, new)
        assert placement(after) == new
    for variant in NAMES[1:]:
        assert_runs(made[variant], variant)


@pytest.mark.parametrize(
    ("before", "post", "sandwich"),
    [
        (
            ["return x + self.mix(self.ln(x))"],
            ["return self.ln(x + self.mix(x))"],
            ["return x + self.post_mix_norm(self.mix(self.ln(x)))"],
        ),
        (
            ["h = x + self.drop(self.mix(self.ln(x)))  # (B, T, C)", "return h"],
            ["h = self.ln(x + self.drop(self.mix(x)))  # (B, T, C)", "return h"],
            ["h = x + self.post_mix_norm(self.drop(self.mix(self.ln(x))))  # (B, T, C)", "return h"],
        ),
        (
            ["return self.mix(self.ln(x)) + x"],
            ["return self.ln(self.mix(x) + x)"],
            ["return self.post_mix_norm(self.mix(self.ln(x))) + x"],
        ),
        (
            ["y = self.mix(self.ln(x))", "x = x + y", "return x"],
            ["y = self.mix(x)", "x = self.ln(x + y)", "return x"],
            ["y = self.mix(self.ln(x))", "x = x + self.post_mix_norm(y)", "return x"],
        ),
        (
            ["x = x + 0.5 * self.mix(rms(x))", "return x"],
            ["x = rms(x + 0.5 * self.mix(x))", "return x"],
            ["x = x + rms(0.5 * self.mix(rms(x)))", "return x"],
        ),
        (
            ["return x + self.mix(F.rms_norm(x, (x.size(-1),)))"],
            ["return F.rms_norm(x + self.mix(x), (x.size(-1),))"],
            ["return x + F.rms_norm(self.mix(F.rms_norm(x, (x.size(-1),))), (x.size(-1),))"],
        ),
        (
            ["residual = x", "x = self.ln(x)", "x = self.mix(x)", "x = residual + x", "return x"],
            ["residual = x", "x = self.mix(x)", "x = self.ln(residual + x)", "return x"],
            [
                "residual = x",
                "x = self.ln(x)",
                "x = self.mix(x)",
                "x = residual + self.post_mix_norm(x)",
                "return x",
            ],
        ),
    ],
)
def test_near_variants_of_one_block(before: list[str], post: list[str], sandwich: list[str]) -> None:
    source = block(*before)
    assert body(changed(source, "post")) == post
    assert body(changed(source, "sandwich")) == sandwich
    assert changed(changed(source, "post"), "pre") == source
    assert changed(changed(source, "sandwich"), "pre") == source
    assert changed(changed(source, "post"), "sandwich").model == changed(source, "sandwich").model


def test_adding_in_place_becomes_an_assignment() -> None:
    source = block("x += self.mix(self.ln(x))", "return x")
    assert body(changed(source, "post")) == ["x = self.ln(x + self.mix(x))", "return x"]
    assert body(changed(source, "sandwich"))[0] == "x += self.post_mix_norm(self.mix(self.ln(x)))"


@pytest.mark.parametrize(
    "lines",
    [
        ["x = x + self.mix(x)", "return x"],
        ["x = x + self.ln(x) * self.mix(x)", "return x"],  # the stream goes in twice
        ["x = x + self.mix(self.ln(x)) + self.drop(self.ln(x))", "return x"],  # in parallel
        ["return self.mix(self.ln(x))"],
        ["return self.ln(x + 1)"],
    ],
)
def test_what_is_no_normalised_sublayer_is_left_alone(lines: list[str]) -> None:
    assert PLACEMENT.sites(block(*lines)) == []


@pytest.mark.parametrize("seed", SEEDS)
def test_placements_compute_what_their_papers_say(seed: str) -> None:
    """A block against x + f(n(x)), n(x + f(x)) and x + m(f(n(x))), put together from its own parts."""
    x = torch.randn(2, 5, 16, generator=torch.Generator().manual_seed(0))
    for name in NAMES:
        source = seed_source(seed) if name == "pre" else changed(seed_source(seed), name)
        module = namespace(source.model)
        torch.manual_seed(0)
        config = module.GPTConfig(n_embd=16, n_head=2, block_size=8)
        made = module.Block(config)
        with torch.no_grad():
            for parameter in made.parameters():
                parameter.add_(torch.randn_like(parameter), alpha=0.2)
            expected = x
            norms = ("ln_1", "ln_2") if seed == "v1" else ("input_norm", "post_norm")
            for layer, norm in zip(("attn", "mlp"), norms, strict=True):
                f, n = getattr(made, layer), getattr(made, norm)
                if name == "post":
                    expected = n(expected + f(expected))
                elif name == "sandwich":
                    expected = expected + getattr(made, f"post_{layer}_norm")(f(n(expected)))
                else:
                    expected = expected + f(n(expected))
            torch.testing.assert_close(made(x), expected)


@pytest.mark.parametrize("variant", NAMES[1:])
def test_a_learned_scale_and_another_kind_of_norm_stay(variant: str) -> None:
    source = seed_source("v1")
    for name in ("swap_norm", "residual_scale"):
        operator = operators.load()[name]
        edit = operator.sites(source)[0]
        one = operators.apply(changed(source, variant), edit)
        two = changed(operators.apply(source, edit), variant)
        for result in (one, two):
            assert placement(result) == variant
            assert_runs(result, (name, variant))
            assert ("RMSNorm" in result.model) == (name == "swap_norm")
            assert ("self.attn_scale * " in result.model) == (name == "residual_scale")


def test_a_norm_whose_name_is_taken_is_not_added() -> None:
    source = Source(
        block("return x + self.mix(self.ln(x))").model.replace("self.drop", "self.post_mix_norm"), ""
    )
    assert [edit.variant for edit in PLACEMENT.sites(source)] == ["post"]
