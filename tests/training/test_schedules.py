"""Schedules against their formulas, written out again here."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foundry.registry import load_part, module_names
from foundry.training.experiment import Training

NAMES = module_names("foundry/training/schedules")

trainings = st.builds(
    Training,
    learning_rate=st.floats(1e-6, 1),
    min_lr=st.floats(0, 1),
    warmup_iters=st.integers(0, 300),
    decay_fraction=st.floats(0, 0.999),
    lr_decay_iters=st.none() | st.integers(1, 3000),
)


def factor(name: str, step: int, total: int, training: Training) -> float:
    value: float = load_part("foundry/training/schedules", "schedule", name).factor(step, total, training)
    return value


def test_the_four_are_found() -> None:
    assert NAMES == ["constant", "cosine", "linear", "wsd"]


@pytest.mark.parametrize("name", NAMES)
@given(training=trainings, total=st.integers(1, 2000), part=st.floats(0, 1, exclude_max=True))
@settings(deadline=None)
def test_a_factor_is_part_of_the_full_rate(name: str, training: Training, total: int, part: float) -> None:
    assert 0.0 <= factor(name, int(part * total), total, training) <= 1.0


@pytest.mark.parametrize("name", NAMES)
def test_all_begin_with_the_same_warm_up(name: str) -> None:
    training = Training(warmup_iters=9)
    assert [factor(name, step, 1000, training) for step in range(9)] == pytest.approx(
        [k / 10 for k in range(1, 10)]
    )
    assert factor(name, 9, 1000, training) == 1.0


@pytest.mark.parametrize("name", NAMES)
def test_without_warm_up_the_first_step_has_the_full_rate(name: str) -> None:
    assert factor(name, 0, 100, Training(warmup_iters=0)) == 1.0


@pytest.mark.parametrize("name", ["cosine", "linear", "wsd"])
def test_the_last_step_comes_near_min_lr(name: str) -> None:
    training = Training(learning_rate=1e-3, min_lr=1e-4, warmup_iters=100)
    assert factor(name, 1999, 2000, training) == pytest.approx(0.1, abs=0.002)


@pytest.mark.parametrize("name", ["cosine", "linear", "wsd"])
@given(training=trainings, total=st.integers(2, 500))
@settings(deadline=None, max_examples=30)
def test_after_the_warm_up_no_rate_rises(name: str, training: Training, total: int) -> None:
    rates = [factor(name, step, total, training) for step in range(min(training.warmup_iters, total), total)]
    assert all(a >= b - 1e-12 for a, b in itertools.pairwise(rates))


def nanogpt_lr(it: int, *, lr: float, min_lr: float, warmup: int, decay: int) -> float:
    """Compute nanoGPT's rate with its own three cases."""
    if it < warmup:
        return lr * (it + 1) / (warmup + 1)
    if it > decay:
        return min_lr
    return min_lr + (lr - min_lr) * (1 + math.cos(math.pi * (it - warmup) / (decay - warmup))) / 2


@pytest.mark.parametrize(("decay", "total"), [(None, 2000), (2000, 5000), (1500, 1500)])
def test_cosine_is_nanogpts(decay: int | None, total: int) -> None:
    training = Training(learning_rate=1e-3, min_lr=1e-4, warmup_iters=100, lr_decay_iters=decay)
    for it in [0, 1, 99, 100, 101, 700, 1499, 1500, 1999, 2000, 2001, 4999]:
        if it < total:
            wanted = nanogpt_lr(it, lr=1e-3, min_lr=1e-4, warmup=100, decay=decay or total)
            assert 1e-3 * factor("cosine", it, total, training) == pytest.approx(wanted, rel=1e-12), it


def test_linear_is_a_line_from_warm_up_to_min_lr() -> None:
    training = Training(learning_rate=1.0, min_lr=0.2, warmup_iters=100)
    for step in (100, 300, 750, 1099):
        wanted = 1.0 + (0.2 - 1.0) * (step - 100) / 1000
        assert factor("linear", step, 1100, training) == pytest.approx(wanted)


def test_wsd_is_constant_and_then_a_line_to_min_lr() -> None:
    training = Training(learning_rate=1.0, min_lr=0.1, warmup_iters=10, decay_fraction=0.3)
    assert {factor("wsd", step, 1000, training) for step in range(10, 701)} == {1.0}
    for step in (701, 850, 999):
        wanted = 1.0 + (0.1 - 1.0) * (step - 700) / 300
        assert factor("wsd", step, 1000, training) == pytest.approx(wanted)


@given(training=trainings, total=st.integers(1, 2000), longer=st.integers(0, 5000), part=st.floats(0, 1))
@settings(deadline=None)
def test_before_its_decay_wsd_does_not_know_how_long_the_training_is(
    training: Training, total: int, longer: int, part: float
) -> None:
    decay_starts = total - math.ceil(total * training.decay_fraction) - 1
    step = int(part * max(0, decay_starts))
    if step <= decay_starts:
        assert factor("wsd", step, total, training) == factor("wsd", step, total + longer, training)
