"""Every seed model offers what nanoGPT's train.py and sample.py use."""

from __future__ import annotations

import types
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from foundry.registry import module_names
from foundry.seed import read_model
from foundry.source import load_module

MODELS = module_names("foundry/models")
ARGS: dict[str, Any] = {
    **{"n_layer": 2, "n_head": 4, "n_embd": 32, "block_size": 16},
    **{"bias": False, "vocab_size": 11, "dropout": 0.0},
}


@pytest.fixture(params=MODELS)
def module(request: pytest.FixtureRequest) -> types.ModuleType:
    return load_module(read_model(request.param))


@pytest.fixture
def model(module: types.ModuleType) -> Any:
    torch.manual_seed(0)
    return module.GPT(module.GPTConfig(**ARGS))


def batch(length: int = 16) -> tuple[Tensor, Tensor]:
    row = torch.randint(11, (4, length + 1), generator=torch.Generator().manual_seed(0))
    return row[:, :-1].contiguous(), row[:, 1:].contiguous()


def test_targets_give_all_logits_and_their_loss(model: Any) -> None:
    x, y = batch()
    logits, loss = model(x, y)
    assert logits.shape == (4, 16, 11)
    torch.testing.assert_close(loss, F.cross_entropy(logits.flatten(0, 1), y.flatten()))


def test_without_targets_come_the_last_logits_alone(model: Any) -> None:
    x, y = batch()
    logits, loss = model(x)
    assert loss is None
    assert logits.shape == (4, 1, 11)
    torch.testing.assert_close(logits, model(x, y)[0][:, -1:])


def test_targets_of_minus_one_do_not_count(model: Any) -> None:
    x, y = batch()
    some = y.clone()
    some[:, ::3] = -1
    logits, loss = model(x, some)
    torch.testing.assert_close(loss, F.cross_entropy(logits[some >= 0], some[some >= 0]))


def test_its_own_optimizer_has_two_groups_and_trains(model: Any) -> None:
    optimizer = model.configure_optimizers(0.1, 1e-2, (0.9, 0.95), "cpu")
    assert isinstance(optimizer, torch.optim.AdamW)
    decayed, plain = optimizer.param_groups
    assert (decayed["weight_decay"], plain["weight_decay"]) == (0.1, 0.0)
    assert {p.dim() for p in decayed["params"]} == {2}
    assert {p.dim() for p in plain["params"]} == {1}
    assert len(decayed["params"]) + len(plain["params"]) == len(list(model.parameters()))
    assert all(group["betas"] == (0.9, 0.95) and group["lr"] == 1e-2 for group in optimizer.param_groups)
    x, y = batch()
    before = model(x, y)[1].item()
    for _ in range(10):
        loss = model(x, y)[1]
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    assert loss.item() < before - 0.3


def test_a_shorter_context_keeps_the_logits(model: Any) -> None:
    x, y = batch(8)
    before = model(x, y)[0]
    model.crop_block_size(8)
    assert model.config.block_size == 8
    assert torch.equal(model(x, y)[0], before)
    with pytest.raises(AssertionError):
        model(*batch(9))
    assert model.generate(x, 3).shape == (4, 11)


def test_a_context_beyond_block_size_is_refused(model: Any) -> None:
    with pytest.raises(AssertionError, match="17 tokens exceed block_size 16"):
        model(*batch(17))


def test_utilisation_is_palms_formula(model: Any) -> None:
    per_token = 6 * model.get_num_params() + 12 * 2 * 4 * 8 * 16
    assert model.estimate_mfu(40, 0.5) == pytest.approx(per_token * 16 * 40 / 0.5 / 312e12)


@pytest.mark.parametrize("top_k", [None, 1, 3, 200])
def test_generating_extends_the_prompt_past_the_context(model: Any, top_k: int | None) -> None:
    prompt, _ = batch(5)
    model.eval()
    longer = model.generate(prompt, 20, temperature=0.8, top_k=top_k)
    assert longer.shape == (4, 25)
    assert torch.equal(longer[:, :5], prompt)
    assert 0 <= int(longer.min()) <= int(longer.max()) < 11


def test_the_likeliest_token_is_generated_where_there_is_no_choice(model: Any) -> None:
    prompt, _ = batch(5)
    model.eval()
    greedy = prompt
    for _ in range(15):
        greedy = torch.cat((greedy, model(greedy[:, -16:])[0].argmax(-1)), 1)
    assert torch.equal(model.generate(prompt, 15, top_k=1), greedy)
    assert torch.equal(model.generate(prompt, 15, temperature=1e-6), greedy)


def test_dropout_works_in_training_alone(module: types.ModuleType) -> None:
    model = module.GPT(module.GPTConfig(**{**ARGS, "dropout": 0.5}))
    x, y = batch()
    model.train()
    assert not torch.equal(model(x, y)[0], model(x, y)[0])
    model.eval()
    assert torch.equal(model(x, y)[0], model(x, y)[0])
