"""An adapter changes nothing at first, then what the papers say; merging it gives the same function."""

from __future__ import annotations

import copy

import pytest
import torch
from lora_helpers import adapted, logits, plain, stir, tokens
from torch import nn
from torch.nn import functional as F

from foundry.lora import layer as layers
from foundry.lora.adapt import adapt, fold, merge, unmerge
from foundry.lora.settings import Lora

KINDS = {
    "plain": Lora(rank=3, alpha=7),
    "rslora": Lora(rank=3, alpha=7, rslora=True),
    "dora": Lora(rank=3, alpha=7, dora=True),
    "everywhere": Lora(rank=2, alpha=4, targets=("all-linear",), dora=True, rslora=True, dropout=0.3),
}


@pytest.fixture(params=KINDS, name="settings")
def _settings(request: pytest.FixtureRequest) -> Lora:
    return KINDS[request.param]


@pytest.mark.parametrize("base", ["v1", "v2"])
def test_nothing_changes_at_first(base: str, settings: Lora) -> None:
    model = plain(base, bias=True)
    before = logits(model)
    adapt(model, settings, 0)
    assert torch.equal(logits(model), before)


@pytest.mark.parametrize("base", ["v1", "v2"])
def test_merged_and_folded_it_is_the_same_function(base: str, settings: Lora) -> None:
    model = adapted(plain(base, bias=True), settings)
    expected = logits(model)
    assert (expected - logits(plain(base, bias=True))).abs().max() > 0.01
    merge(model)
    torch.testing.assert_close(logits(model), expected, atol=1e-5, rtol=1e-5)
    unmerge(model)
    assert torch.equal(logits(model), expected)
    fold(model)
    torch.testing.assert_close(logits(model), expected, atol=1e-5, rtol=1e-5)


def test_unmerged_every_weight_is_what_it_was(settings: Lora) -> None:
    model = adapted(plain(), settings)
    before = copy.deepcopy(model.state_dict())
    merge(model)
    assert set(model.state_dict()) == set(before)
    unmerge(model)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_folded_the_model_is_a_plain_one_that_trains(settings: Lora) -> None:
    model, fresh = adapted(plain(), settings), plain()
    fold(model)
    assert list(model.state_dict()) == list(fresh.state_dict())
    fresh.load_state_dict(model.state_dict())
    assert torch.equal(logits(fresh), logits(model))
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_the_names_of_the_model_stay_as_they_are(settings: Lora) -> None:
    before = plain().state_dict()
    after = adapted(plain(), settings).state_dict()
    assert [name for name in after if "lora_" not in name] == list(before)
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())


@pytest.mark.parametrize("dora", [False, True])
@pytest.mark.parametrize("bias", [False, True])
def test_a_layer_computes_what_the_paper_says(bias: bool, dora: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    layer = nn.Linear(5, 4, bias=bias, dtype=torch.float64)
    settings = Lora(rank=2, alpha=3, dora=dora)
    layers.attach(layer, settings, generator)
    stir(layer)
    x = torch.randn(6, 5, generator=generator, dtype=torch.float64)
    a, b = layers.matrices(layer)
    weight = layer.weight + 3 / 2 * b @ a
    if dora:
        magnitude = layers.learned(layer)["lora_magnitude_vector"]
        weight = magnitude[:, None] * weight / weight.norm(dim=1, keepdim=True)
    torch.testing.assert_close(layer(x), F.linear(x, weight, layer.bias), atol=1e-6, rtol=1e-6)


def test_gradients_are_those_of_the_product() -> None:
    layer = nn.Linear(5, 4, bias=False)
    layers.attach(layer, Lora(rank=2, alpha=3), torch.Generator().manual_seed(0))
    stir(layer)
    x = torch.randn(6, 5, generator=torch.Generator().manual_seed(1))
    layer(x).square().sum().backward()
    a, b = (matrix.detach().clone().requires_grad_() for matrix in layers.matrices(layer))
    F.linear(x, layer.weight.detach() + 1.5 * b @ a).square().sum().backward()
    for matrix, wanted in zip(layers.matrices(layer), (a, b), strict=True):
        torch.testing.assert_close(matrix.grad, wanted.grad, atol=1e-5, rtol=1e-5)


def test_dropout_is_for_training_alone() -> None:
    model = adapted(plain(), Lora(rank=2, dropout=0.5, targets=("all-linear",)))
    assert torch.equal(logits(model), logits(model))
    idx = tokens()
    model.train()
    torch.manual_seed(0)
    one, other = (model(idx, idx)[0] for _ in range(2))
    assert not torch.equal(one, other)


def test_a_copy_of_a_model_has_adapters_of_its_own() -> None:
    model = adapted(plain(), Lora(rank=2))
    expected = logits(model)
    twin = copy.deepcopy(model)
    stir(twin)
    assert torch.equal(logits(model), expected)
    assert not torch.equal(logits(twin), expected)


def test_in_bfloat16_the_loss_is_nearly_the_same() -> None:
    model = adapted(plain(), Lora(rank=2, dora=True))
    idx = tokens()
    expected = model(idx, idx)[1].item()
    with torch.autocast("cpu", torch.bfloat16):
        loss = model(idx, idx)[1]
    loss.backward()
    assert abs(loss.item() - expected) < 0.05
