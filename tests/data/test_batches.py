"""Training batches depend on seed and step alone; evaluation windows cover a text exactly once."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from foundry.data.batches import draw, windows

COUNTED = torch.arange(1000, dtype=torch.int32)  # a token is its own position


def test_a_batch_depends_on_seed_and_step_alone() -> None:
    first = draw(COUNTED, seed=5, step=7, batch_size=4, block_size=16)
    torch.manual_seed(123)
    torch.rand(1000)
    draw(COUNTED, seed=5, step=8, batch_size=4, block_size=16)
    again = draw(COUNTED, seed=5, step=7, batch_size=4, block_size=16)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))


def test_drawing_leaves_torchs_own_generator_alone() -> None:
    before = torch.get_rng_state()
    draw(COUNTED, seed=1, step=1, batch_size=4, block_size=16)
    assert torch.equal(torch.get_rng_state(), before)


def test_batches_of_other_seeds_and_steps_differ() -> None:
    drawn = [
        draw(COUNTED, seed=seed, step=step, batch_size=8, block_size=4)[0]
        for seed in range(5)
        for step in range(5)
    ]
    assert len({tuple(inputs[:, 0].tolist()) for inputs in drawn}) == 25


def test_the_first_batches_are_what_they_always_were() -> None:
    inputs, _ = draw(COUNTED, seed=0, step=0, batch_size=4, block_size=1)
    assert inputs[:, 0].tolist() == [104, 859, 353, 771]


@given(length=st.integers(3, 60), block=st.integers(1, 20), seed=st.integers(0, 100))
@settings(deadline=None)
def test_targets_are_the_next_tokens(length: int, block: int, seed: int) -> None:
    block = min(block, length - 1)
    inputs, targets = draw(torch.arange(length), seed=seed, step=3, batch_size=5, block_size=block)
    assert inputs.shape == targets.shape == (5, block)
    assert inputs.dtype == targets.dtype == torch.int64
    assert torch.equal(targets, inputs + 1)
    assert torch.equal(inputs, inputs[:, :1] + torch.arange(block))
    assert int(targets.max()) < length


def test_every_place_can_be_a_start_and_the_last_token_a_target() -> None:
    inputs, targets = draw(torch.arange(20), seed=0, step=0, batch_size=500, block_size=8)
    assert set(inputs[:, 0].tolist()) == set(range(12))
    assert int(targets.max()) == 19


@given(length=st.integers(1, 200), block=st.integers(1, 40), batch=st.integers(1, 7))
@settings(deadline=None)
def test_windows_ask_for_every_token_but_the_first_exactly_once(length: int, block: int, batch: int) -> None:
    asked: list[int] = []
    for inputs, targets in windows(
        torch.arange(length, dtype=torch.int32), block_size=block, batch_size=batch
    ):
        assert inputs.shape == targets.shape
        assert 1 <= inputs.shape[0] <= batch
        assert 1 <= inputs.shape[1] <= block
        assert inputs.dtype == targets.dtype == torch.int64
        assert torch.equal(targets, inputs + 1)
        asked += targets.flatten().tolist()
    assert asked == list(range(1, length))
