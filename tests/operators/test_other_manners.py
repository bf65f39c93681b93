"""One thing said in several ways: what operators find must not hang on the way."""

from __future__ import annotations

import pytest
from operator_support import assert_runs, seed_source

import operators
from operators import Source

OF_THE_STACK = (
    *("unet_skips", "x0_skip", "token_shift", "residual_scale", "share_layers"),
    *("value_residual", "value_embeddings"),
)


def v1(*changes: tuple[str, str]) -> Source:
    source = seed_source("v1")
    text = source.model
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new)
    return Source(text, source.experiment)


MANNERS = {
    "appended": v1(
        ("                h=nn.ModuleList([Block(config) for _ in range(config.n_layer)]),\n", ""),
        (
            "        self.lm_head =",
            "        self.blocks = nn.ModuleList()\n        for layer in range(config.n_layer):\n"
            "            self.blocks.append(Block(config))\n        self.lm_head =",
        ),
        ("in self.transformer.h:", "in self.blocks:"),
    ),
    "forward spelled out": v1(
        ("self.attn(self.ln_1(x))", "self.attn.forward(self.ln_1(x))"),
        ("self.mlp(self.ln_2(x))", "self.mlp.forward(self.ln_2(x))"),
    ),
}


@pytest.mark.parametrize("manner", MANNERS)
@pytest.mark.parametrize("name", OF_THE_STACK)
def test_operators_find_as_much_in_either_manner(manner: str, name: str) -> None:
    operator = operators.lookup(name)
    found = operator.sites(MANNERS[manner])
    assert [edit.variant for edit in found] == [edit.variant for edit in operator.sites(v1())]
    for edit in found:
        assert_runs(operators.apply(MANNERS[manner], edit), edit)
