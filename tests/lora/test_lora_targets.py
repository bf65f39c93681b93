"""Which layers are adapted, in models of any source, and what is said of the rest."""

from __future__ import annotations

import re

import pytest
import torch
from lora_helpers import ROOT, SIZES, from_source, logits, plain, stir

import operators
from foundry.errors import UserError
from foundry.lora.adapt import Adapted, adapt, fold
from foundry.lora.settings import Lora
from foundry.seed import read_model
from operators import Source

SOURCE = read_model("v1")
# one layer's weight is read without the layer being called; another matrix belongs to no layer at all
DIRECT = SOURCE.replace("x = self.c_fc(x)", "x = F.linear(x, self.c_fc.weight)")
RAW = SOURCE.replace(
    "self.gelu = nn.GELU()", "self.mixing = nn.Parameter(torch.eye(config.n_embd)); self.gelu = nn.GELU()"
).replace("x = self.c_fc(x)", "x = self.c_fc(F.linear(x, self.mixing))")


def names(adapted: Adapted) -> list[str]:
    return list(dict.fromkeys(name.rpartition(".")[2] for name in adapted.layers))


def test_queries_and_values_are_the_usual_targets() -> None:
    assert names(adapt(plain("v1"), Lora(), 0)) == ["c_attn"]  # fused with the keys
    assert names(adapt(plain("v2"), Lora(), 0)) == ["q_proj", "v_proj"]


def test_all_linear_is_all_but_the_head() -> None:
    everywhere = Lora(targets=("all-linear",))
    assert names(adapt(plain("v1"), everywhere, 0)) == ["c_attn", "c_proj", "c_fc"]
    seven = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
    assert names(adapt(plain("v2"), everywhere, 0)) == seven


def test_targets_are_names_or_whole_paths() -> None:
    settings = Lora(targets=("o_proj", "layers.1.mlp.up_proj", "lm_head"))
    found = adapt(plain("v2"), settings, 0).layers
    assert found == ("layers.0.attn.o_proj", "layers.1.attn.o_proj", "layers.1.mlp.up_proj", "lm_head")


def test_a_pattern_matches_whole_paths() -> None:
    found = adapt(plain("v2"), Lora(pattern=r"layers\.1\..*(q|down)_proj"), 0).layers
    assert found == ("layers.1.attn.q_proj", "layers.1.mlp.down_proj")


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"targets": ("q_prj",)}, "unknown layer in lora.targets 'q_prj': did you mean 'q_proj'?"),
        ({"pattern": "q_proj"}, "lora.pattern 'q_proj' matches no linear layer of this model"),
        ({"pattern": "q_("}, "lora.pattern is no regular expression"),
        ({"pattern": "a", "targets": ("b",)}, "lora has both targets and a pattern"),
        ({"targets": ("all-linear", "lm_head")}, "all-linear stands alone"),
        ({"rank": 0}, "lora.rank must be at least 1"),
        ({"alpha": 0.0}, "lora.alpha must be above 0"),
        ({"dropout": 1.0}, r"lora.dropout must lie in \[0, 1\)"),
    ],
)
def test_mistakes_are_named(settings: dict[str, object], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence if "[" in sentence else re.escape(sentence)):
        adapt(plain("v2"), Lora(**settings), 0)  # type: ignore[arg-type]


def test_a_tied_head_is_refused_with_the_way_out() -> None:
    sentence = (
        "lm_head shares its weight with transformer.wte, and merging would change both: "
        "untie them by `foundry mutate tie_embeddings untie`"
    )
    with pytest.raises(UserError, match=re.escape(sentence)):
        adapt(plain("v1"), Lora(targets=("lm_head",)), 0)
    source = Source(SOURCE, "name: x\n")
    (untie,) = [e for e in operators.lookup("tie_embeddings").sites(source) if e.variant == "untie"]
    model = from_source(operators.apply(source, untie).model, dict(SIZES))
    assert adapt(model, Lora(targets=("lm_head",)), 0).layers == ("lm_head",)


def test_what_no_adapter_reaches_is_left_alone_and_said() -> None:
    everywhere = Lora(rank=2, targets=("all-linear",))
    found = adapt(from_source(DIRECT, dict(SIZES)), everywhere, 0)
    assert names(found) == ["c_attn", "c_proj"]
    assert found.left == dict.fromkeys(
        ["transformer.h.0.mlp.c_fc", "transformer.h.1.mlp.c_fc"], "its layer is never called"
    )
    found = adapt(from_source(RAW, dict(SIZES)), everywhere, 0)
    assert names(found) == ["c_attn", "c_proj", "c_fc"]
    assert str(found).endswith(
        "left alone: transformer.h.0.mlp.mixing, transformer.h.1.mlp.mixing (no linear layer holds it)"
    )


def test_a_layer_that_is_never_called_cannot_be_the_only_one() -> None:
    with pytest.raises(UserError, match=r"c_fc cannot be adapted: the model reads its weight without"):
        adapt(from_source(DIRECT, dict(SIZES)), Lora(targets=("c_fc",)), 0)


def test_only_adapters_train_and_the_share_is_told() -> None:
    model = plain("v2", n_embd=64)
    found = adapt(model, Lora(rank=2), 0)
    trains = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert trains == {f"{layer}.lora_{part}.weight" for layer in found.layers for part in "AB"}
    assert found.frozen == {name for name, _ in plain("v2", n_embd=64).named_parameters()}
    trained = 2 * (2 * (64 + 64) + 2 * (64 + 32))
    total = trained + sum(parameter.numel() for parameter in plain("v2", n_embd=64).parameters())
    assert str(found) == (
        f"LoRA: {trained} of {total:,} parameters train ({trained / total:.2%}), in 4 layers: q_proj, v_proj"
    )
    assert found.share < 0.1


def test_an_adapter_starts_the_same_whatever_else_is_adapted() -> None:
    few, many = plain("v2"), plain("v2")
    adapt(few, Lora(rank=2, targets=("q_proj",)), 5)
    adapt(many, Lora(rank=2, targets=("all-linear",)), 5)
    name = "layers.1.attn.q_proj.lora_A.weight"
    assert torch.equal(few.get_parameter(name), many.get_parameter(name))
    other = plain("v2")
    adapt(other, Lora(rank=2), 6)
    assert not torch.equal(few.get_parameter(name), other.get_parameter(name))


EVOLVED = [
    ("v1", "attention", "mla"),
    ("v2", "attention", "mla"),
    ("v1", "moe", ""),
    ("v2", "share_layers", ""),
    ("v2", "value_residual", ""),
    ("v1", "gating", ""),
    ("v2", "token_shift", ""),
]


@pytest.mark.parametrize(("base", "operator", "variant"), EVOLVED)
def test_evolved_models_are_adapted_too(base: str, operator: str, variant: str) -> None:
    source = Source((ROOT / "foundry" / "models" / f"{base}.py").read_text("utf-8"), "name: x\n")
    edits = [e for e in operators.lookup(operator).sites(source) if e.variant.startswith(variant)]
    model = from_source(operators.apply(source, edits[0]).model, dict(SIZES) | {"n_embd": 32})
    before = logits(model)
    assert adapt(model, Lora(rank=2, targets=("all-linear",)), 0).layers
    assert torch.equal(logits(model), before)
    stir(model)
    after = logits(model)
    assert not torch.equal(after, before)
    fold(model)
    torch.testing.assert_close(logits(model), after, atol=1e-4, rtol=1e-4)
