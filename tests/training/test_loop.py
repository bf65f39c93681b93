"""The loop: stopping anywhere and going on changes nothing; learning happens; divergence is noticed."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from training_helpers import VOCABULARY, differing, parameters, random_tokens, recipe, small

from foundry.data.batches import Blocks
from foundry.errors import UserError
from foundry.registry import module_names
from foundry.training import checkpoint
from foundry.training.experiment import Experiment, Training
from foundry.training.loop import DivergedError, build_optimizers, train
from foundry.training.score import cross_entropy

STEPS = 6
OPTIMIZERS = module_names("foundry/training/optimizers")


def trained(experiment: Experiment, *, seed: int = 0, steps: int = STEPS) -> dict[str, Tensor]:
    model = small(dropout=0.2)
    optimizers = build_optimizers(model, experiment.training)
    train(model, optimizers, Blocks(random_tokens()), experiment, seed=seed, steps=range(steps), total=STEPS)
    return parameters(model)


@pytest.mark.parametrize("accumulation", [1, 3])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_stopping_after_any_step_and_going_on_elsewhere_changes_no_bit(
    optimizer: str, accumulation: int, tmp_path: Path
) -> None:
    experiment = recipe(optimizer=optimizer, gradient_accumulation_steps=accumulation)
    tokens = random_tokens()
    whole = trained(experiment)
    for stop in range(1, STEPS):
        first = small(dropout=0.2)
        optimizers = build_optimizers(first, experiment.training)
        train(first, optimizers, Blocks(tokens), experiment, seed=0, steps=range(stop), total=STEPS)
        checkpoint.save(tmp_path / f"{stop}.safetensors", first, optimizers, stop)

        torch.manual_seed(stop)  # another process has drawn other numbers
        second = small(dropout=0.2, seed=77)
        optimizers = build_optimizers(second, experiment.training)
        reached = checkpoint.load(tmp_path / f"{stop}.safetensors", second, optimizers)
        assert reached == stop
        train(
            second, optimizers, Blocks(tokens), experiment, seed=0, steps=range(reached, STEPS), total=STEPS
        )
        assert not differing(whole, parameters(second)), f"stopped after {stop}"


def test_a_training_depends_on_its_seed() -> None:
    assert not differing(trained(recipe(), seed=1), trained(recipe(), seed=1))
    assert differing(trained(recipe(), seed=1), trained(recipe(), seed=2))


def test_dropout_depends_on_the_step_alone() -> None:
    torch.manual_seed(5)
    one = trained(recipe(), steps=1)
    torch.manual_seed(6)
    assert not differing(one, trained(recipe(), steps=1))


def test_small_batches_accumulated_are_one_large_batch() -> None:
    found = []
    for n, batch_size in ((1, 12), (3, 4), (12, 1)):
        experiment = recipe(batch_size=batch_size, gradient_accumulation_steps=n, grad_clip=0.0)
        model = small()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        optimizer.param_groups[0]["full_lr"] = 0.1
        train(model, [optimizer], Blocks(random_tokens()), experiment, seed=0, steps=range(5), total=5)
        found.append(parameters(model))
    for other in found[1:]:
        for name, p in found[0].items():
            torch.testing.assert_close(other[name], p, atol=1e-6, rtol=0)


def test_gradients_are_clipped_together() -> None:
    experiment = recipe(grad_clip=0.01, warmup_iters=0, schedule="constant")
    model = small()
    before = parameters(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    optimizer.param_groups[0]["full_lr"] = 1.0
    train(model, [optimizer], Blocks(random_tokens()), experiment, seed=0, steps=range(1), total=1)
    moved = sum(float((p - before[name]).square().sum()) for name, p in parameters(model).items())
    assert moved**0.5 == pytest.approx(0.01, rel=1e-3)


def test_all_rates_follow_the_schedule_in_proportion() -> None:
    experiment = recipe(
        optimizer="muon", learning_rate=1e-3, min_lr=1e-4, muon_lr=0.02, schedule="linear", warmup_iters=0
    )
    model = small()
    optimizers = build_optimizers(model, experiment.training)
    train(model, optimizers, Blocks(random_tokens()), experiment, seed=0, steps=range(6), total=10)
    factor = 0.1 + 0.9 * 5 / 10  # of step 5, the last
    rates = [group["lr"] for optimizer in optimizers for group in optimizer.param_groups]
    assert rates == pytest.approx([0.02 * factor, 1e-3 * factor, 1e-3 * factor])


def test_wsd_can_be_prolonged_before_its_decay() -> None:
    experiment = recipe(decay_fraction=0.5)
    runs = []
    for total in (8, 20):
        model = small()
        optimizers = build_optimizers(model, experiment.training)
        train(model, optimizers, Blocks(random_tokens()), experiment, seed=0, steps=range(4), total=total)
        runs.append(parameters(model))
    assert not differing(*runs)


@pytest.mark.parametrize("base", ["v1", "v2"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_short_text_is_learnt_by_heart(optimizer: str, base: str) -> None:
    tokens = torch.tensor(
        [3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8, 9, 7, 9, 3, 2, 3, 8, 4], dtype=torch.int32
    ).repeat(5)
    experiment = recipe(optimizer=optimizer, learning_rate=2e-2, min_lr=1e-3, batch_size=8)
    model = small(base)
    before = cross_entropy(model, tokens, block_size=8)
    optimizers = build_optimizers(model, experiment.training)
    train(model, optimizers, Blocks(tokens), experiment, seed=0, steps=range(60), total=60)
    assert before == pytest.approx(2.565, abs=0.1)  # ln 13
    assert cross_entropy(model, tokens, block_size=8) < 0.7


class NotFinite(nn.Module):
    """Give a loss that is finite but on one call."""

    def __init__(self, call: int, value: float) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(VOCABULARY))
        self.calls_left, self.value = call, value

    def forward(self, idx: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        self.calls_left -= 1
        logits = self.bias.expand(*idx.shape, VOCABULARY)
        loss = nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten())
        return logits, loss * self.value if self.calls_left < 0 else loss


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("accumulation", [1, 2])
def test_divergence_is_raised_with_its_step(value: float, accumulation: int) -> None:
    model = NotFinite(5, value)
    experiment = recipe(gradient_accumulation_steps=accumulation)
    optimizers = build_optimizers(model, experiment.training)
    with pytest.raises(DivergedError, match=f"not finite at step {5 // accumulation}") as error:
        train(model, optimizers, Blocks(random_tokens()), experiment, seed=0, steps=range(9), total=9)
    assert error.value.step == 5 // accumulation


def test_an_unknown_part_is_a_mistake_in_words() -> None:
    with pytest.raises(UserError, match="unknown optimizer 'muno': did you mean 'muon'"):
        Training(optimizer="muno")
