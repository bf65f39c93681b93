"""A loss that stays beyond hope ends a training; a spike does not."""

from __future__ import annotations

import math

import pytest
from training_helpers import VOCABULARY, random_tokens, recipe, small

from foundry.data.batches import Blocks
from foundry.training.explosion import PATIENCE, Explosion, starting_loss
from foundry.training.loop import DivergedError


def note(explosion: Explosion, steps: range) -> None:
    for step in steps:
        explosion.check(step, 9.0)


def test_the_loss_must_stay_above_the_limit() -> None:
    explosion = Explosion(4.0, warmup_iters=0)
    spike = [9.0] * (PATIENCE - 1)
    for step, loss in enumerate([*spike, 8.0, *spike, 3.0]):
        explosion.check(step, loss)
        assert explosion.near == (loss == 9.0)
    with pytest.raises(
        DivergedError, match=rf"^the loss was above 8\.00 for {PATIENCE} updates in a row at step 99$"
    ):
        note(explosion, range(80, 200))


def test_warm_up_does_not_count() -> None:
    explosion = Explosion(1.0, warmup_iters=50)
    for step in range(50 + PATIENCE - 1):
        explosion.check(step, 9.0)
    with pytest.raises(DivergedError) as error:
        explosion.check(50 + PATIENCE - 1, 9.0)
    assert error.value.step == 50 + PATIENCE - 1


def test_a_new_model_starts_at_guessing() -> None:
    found = starting_loss(small(dropout=0.5), Blocks(random_tokens()), recipe(), seed=0)
    assert found == pytest.approx(math.log(VOCABULARY), abs=0.05)
    assert found == starting_loss(small(dropout=0.5), Blocks(random_tokens()), recipe(), seed=0)
