"""Batches that grow: the same tokens in more updates at first, and parts of a model at rates of their own."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor
from training_helpers import small

from foundry.data.batches import Blocks
from foundry.training import loop, ramp
from foundry.training.experiment import Experiment, Training

TOKENS = torch.randint(17, (500,), generator=torch.Generator().manual_seed(0))
TRAINING = Training(batch_size=8, max_iters=10, warmup_iters=0, schedule="constant", grad_clip=0.0)
EXPERIMENT = Experiment(training=TRAINING, model_args={"block_size": 8})


def test_a_ramp_begins_with_its_number_and_ends_with_one() -> None:
    training = replace(TRAINING, batch_ramp=4)
    assert [ramp.updates(step / 10, training) for step in range(10)] == [4, 4, 2, 2, 1, 1, 1, 1, 1, 1]
    assert ramp.mean_updates(training) == pytest.approx(1.8)
    assert ramp.mean_updates(TRAINING) == 1


@pytest.mark.parametrize(
    ("size", "wanted", "found"), [(12, 4, 4), (12, 8, 6), (7, 4, 1), (1, 4, 1), (9, 2, 1)]
)
def test_the_parts_of_a_batch_are_alike(size: int, wanted: int, found: int) -> None:
    assert ramp.updates(0.0, replace(TRAINING, batch_size=size, batch_ramp=wanted)) == found


def trained(experiment: Experiment, steps: range) -> dict[str, Tensor]:
    model = small(vocab_size=17, block_size=8)
    optimizers = loop.build_optimizers(model, experiment.training)
    loop.train(model, optimizers, Blocks(TOKENS), experiment, seed=0, steps=steps, total=10)
    return model.state_dict()


def test_a_step_of_a_ramp_is_its_batch_in_several_updates() -> None:
    """Beside plain updates on the halves of the same batch, made by hand."""
    ramped = replace(EXPERIMENT, training=replace(TRAINING, batch_ramp=2))
    model = small(vocab_size=17, block_size=8)
    optimizers = loop.build_optimizers(model, ramped.training)
    inputs, targets = Blocks(TOKENS).draw(seed=0, step=0, total=10, batch_size=8, block_size=8)
    for x, y in zip(inputs.chunk(2), targets.chunk(2), strict=True):
        model.train()
        model(x, y)[1].backward()
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()
    for name, tensor in trained(ramped, range(1)).items():
        assert torch.equal(tensor, model.state_dict()[name]), name


def test_after_its_ramp_a_step_is_one_update() -> None:
    ramped = replace(EXPERIMENT, training=replace(TRAINING, batch_ramp=4))
    plain, late = trained(EXPERIMENT, range(5, 6)), trained(ramped, range(5, 6))
    assert all(torch.equal(plain[name], late[name]) for name in plain)


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_embeddings_and_a_head_of_its_own_learn_at_their_own_rates(optimizer: str) -> None:
    model = small("v2", vocab_size=17)
    training = replace(TRAINING, optimizer=optimizer, embedding_lr_factor=3.0, head_lr_factor=0.5)
    named = {id(p): name for name, p in model.named_parameters()}
    found = {
        named[id(p)]: group["lr"] / training.learning_rate
        for made in loop.build_optimizers(model, training)
        for group in made.param_groups
        for p in group["params"]
    }
    assert found["embed_tokens.weight"] == pytest.approx(3.0)
    assert found["lm_head.weight"] == pytest.approx(0.5)
    others = {
        factor for name, factor in found.items() if name not in ("embed_tokens.weight", "lm_head.weight")
    }
    assert others == ({1.0} if optimizer == "adamw" else {1.0, training.muon_lr / training.learning_rate})


def test_a_tied_head_is_an_embedding() -> None:
    model = small(vocab_size=17)
    training = replace(TRAINING, embedding_lr_factor=3.0, head_lr_factor=0.5)
    groups = loop.build_optimizers(model, training)[0].param_groups
    [rate] = [g["lr"] for g in groups if any(p is model.lm_head.weight for p in g["params"])]
    assert rate == pytest.approx(3 * training.learning_rate)


def test_the_schedule_scales_every_rate() -> None:
    training = replace(TRAINING, embedding_lr_factor=3.0)
    optimizers = loop.build_optimizers(small(vocab_size=17, block_size=8), training)
    assert sorted({group["full_lr"] for group in optimizers[0].param_groups}) == pytest.approx(
        [training.learning_rate, 3 * training.learning_rate]
    )
