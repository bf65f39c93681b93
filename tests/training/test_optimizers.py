"""Which parameters each optimizer takes, and AdamW's step against its formula."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from training_helpers import model_from, small, source_of

from foundry.registry import module_names
from foundry.training.experiment import Training
from foundry.training.loop import build_optimizers
from foundry.training.optimizers import adamw
from foundry.training.optimizers.muon import hidden_matrices

V1_HIDDEN = ("attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj")
V2_HIDDEN = (
    *("attn.q_proj", "attn.k_proj", "attn.v_proj", "attn.o_proj"),
    *("mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"),
)


def names(model: nn.Module, chosen: list[nn.Parameter]) -> set[str]:
    ids = {id(p) for p in chosen}
    return {name for name, p in model.named_parameters() if id(p) in ids}


@pytest.mark.parametrize("optimizer", module_names("foundry/training/optimizers"))
@pytest.mark.parametrize("base", ["v1", "v2"])
def test_every_parameter_is_updated_by_exactly_one_group(optimizer: str, base: str) -> None:
    model = small(base, bias=True)
    optimizers = build_optimizers(model, Training(optimizer=optimizer))
    taken = [id(p) for o in optimizers for group in o.param_groups for p in group["params"]]
    assert sorted(taken) == sorted(id(p) for p in model.parameters())


@pytest.mark.parametrize("optimizer", module_names("foundry/training/optimizers"))
def test_frozen_parameters_are_left_alone(optimizer: str) -> None:
    model = small()
    frozen = [p for name, p in model.named_parameters() if "mlp" in name]
    for p in frozen:
        p.requires_grad_(False)
    optimizers = build_optimizers(model, Training(optimizer=optimizer))
    taken = {id(p) for o in optimizers for group in o.param_groups for p in group["params"]}
    assert frozen
    assert not taken & {id(p) for p in frozen}


def test_adamw_decays_by_the_number_of_dimensions() -> None:
    model = small(bias=True)
    [optimizer] = build_optimizers(model, Training(weight_decay=0.3))
    decayed, plain = optimizer.param_groups
    assert (decayed["weight_decay"], plain["weight_decay"]) == (0.3, 0.0)
    assert all(p.dim() >= 2 for p in decayed["params"])
    assert all(p.dim() < 2 for p in plain["params"])
    assert "transformer.wpe.weight" in names(model, decayed["params"])
    assert decayed["betas"] == (0.9, 0.99)


def test_adamw_makes_no_empty_group() -> None:
    [optimizer] = adamw.build(nn.Linear(3, 3, bias=False), Training())
    assert len(optimizer.param_groups) == 1


@pytest.mark.parametrize("n_embd", [16, 26])
@pytest.mark.parametrize("vocab_size", [13, 16, 26, 48, 64])  # as wide as an embedding, qkv or a feed-forward
@pytest.mark.parametrize(
    ("base", "layer", "hidden"), [("v1", "transformer.h", V1_HIDDEN), ("v2", "layers", V2_HIDDEN)]
)
def test_muon_takes_the_matrices_of_the_blocks(
    base: str, layer: str, hidden: tuple[str, ...], n_embd: int, vocab_size: int
) -> None:
    model = small(base, n_embd=n_embd, vocab_size=vocab_size, bias=True)
    wanted = {f"{layer}.{i}.{name}.weight" for i in range(2) for name in hidden}
    assert names(model, hidden_matrices(model)) == wanted
    muon, rest = build_optimizers(model, Training(optimizer="muon"))
    assert names(model, muon.param_groups[0]["params"]) == wanted
    assert isinstance(rest, torch.optim.AdamW)


def test_muon_leaves_an_untied_head_alone_where_the_model_keeps_no_config() -> None:
    source = source_of(
        "v2",
        ("        self.config = config\n", "        self.block_size = config.block_size\n"),
        ("self.config.block_size", "self.block_size"),
    )
    model = model_from(source, {"n_embd": 16, "n_head": 4, "n_layer": 1, "vocab_size": 13, "block_size": 8})
    assert not hasattr(model, "config")
    assert not names(model, hidden_matrices(model)) & {"lm_head.weight", "embed_tokens.weight"}


def test_muon_without_hidden_matrices_is_adamw() -> None:
    [only] = build_optimizers(nn.Embedding(5, 4), Training(optimizer="muon"))
    assert isinstance(only, torch.optim.AdamW)


def test_each_optimizer_has_its_own_rate() -> None:
    training = Training(optimizer="muon", learning_rate=3e-3, muon_lr=0.05)
    muon, rest = build_optimizers(small(), training)
    assert {group["full_lr"] for group in muon.param_groups} == {0.05}
    assert {group["full_lr"] for group in rest.param_groups} == {3e-3}


def test_fused_adamw_steps_by_the_formula() -> None:
    generator = torch.Generator().manual_seed(0)
    training = Training(learning_rate=3e-3, weight_decay=0.1, beta1=0.8, beta2=0.95)
    matrix = nn.Parameter(torch.randn(7, 5, generator=generator))
    vector = nn.Parameter(torch.randn(6, generator=generator))
    optimizer = adamw.over(nn.ParameterList([matrix, vector]), [matrix, vector], training)
    wanted = {p: p.detach().double().numpy().copy() for p in (matrix, vector)}
    m = {p: np.zeros(p.shape) for p in wanted}
    v = {p: np.zeros(p.shape) for p in wanted}
    for t in range(1, 6):
        for p, w in wanted.items():
            p.grad = torch.randn(p.shape, generator=generator)
            g = p.grad.double().numpy()
            m[p] = 0.8 * m[p] + 0.2 * g
            v[p] = 0.95 * v[p] + 0.05 * g**2
            w *= 1 - 3e-3 * (0.1 if p is matrix else 0.0)
            w -= 3e-3 * (m[p] / (1 - 0.8**t)) / (np.sqrt(v[p] / (1 - 0.95**t)) + 1e-8)
        optimizer.step()
    for p, w in wanted.items():
        assert np.abs(p.detach().numpy() - w).max() < 1e-6
