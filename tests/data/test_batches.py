"""Training batches depend on seed and step alone; evaluation windows cover a text exactly once."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from foundry.data import dataset
from foundry.data.batches import Blocks, Mixture, draw, windows
from foundry.data.prepare import prepare
from foundry.data.settings import Data

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


@pytest.mark.parametrize("prepared", [False, True])
def test_the_default_experiment_sees_the_batches_that_it_always_saw(prepared: bool, tmp_path: Path) -> None:
    if prepared:
        prepare(Data(), tmp_path / "made")
    data = dataset.load(Data(dataset=str(tmp_path / "made")) if prepared else Data())
    digest = hashlib.sha256()
    for seed in (0, 1007):
        for step in (0, 1, 499):
            batch = data.batches().draw(seed=seed, step=step, total=500, batch_size=12, block_size=64)
            for tensor in batch:
                digest.update(tensor.numpy().tobytes())
    assert digest.hexdigest() == "92fda9c6dabba7d68d41e8f93b625dcb36b72ae726aeeb856ea0f510000aba24"


@pytest.mark.parametrize("dtype", ["<u2", "<u4"])
def test_tokens_in_a_file_give_the_batches_and_windows_of_those_in_memory(tmp_path: Path, dtype: str) -> None:
    path = tmp_path / "tokens.bin"
    COUNTED.numpy().astype(dtype).tofile(path)
    mapped = np.memmap(path, dtype=dtype, mode="r")
    for step in range(20):
        pairs = (draw(ids, seed=1, step=step, batch_size=4, block_size=16) for ids in (COUNTED, mapped))
        assert all(torch.equal(a, b) for a, b in zip(*pairs, strict=True))
    both = (windows(ids, block_size=16, batch_size=5) for ids in (COUNTED, mapped))
    for one, other in zip(*both, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def mixture(**weights: float) -> Mixture:
    """Mix texts, each of 1000 tokens in a hundred of its own: a's from 0 on, b's from 100, c's from 200."""
    sources = tuple(Blocks(torch.arange(1000) % 100 + 100 * "abc".index(name)) for name in weights)
    return Mixture(tuple(weights), tuple(weights.values()), sources)


def test_rows_come_from_sources_by_weight() -> None:
    inputs, targets = mixture(a=0.6, b=0.3, c=0.1).draw(
        seed=0, step=0, total=1, batch_size=4000, block_size=8
    )
    source = inputs // 100
    assert torch.equal(source, source[:, :1].expand_as(source))
    assert torch.equal(targets[:, :-1], inputs[:, 1:])
    shares = torch.bincount(source[:, 0]) / 4000
    assert shares.tolist() == pytest.approx([0.6, 0.3, 0.1], abs=0.03)


def test_another_weight_leaves_most_rows_and_another_source_the_blocks_of_the_rest() -> None:
    settings = {"seed": 5, "step": 7, "total": 9, "batch_size": 1000, "block_size": 8}
    first = mixture(a=0.6, b=0.4).draw(**settings)[0]
    assert torch.equal(first, mixture(a=6, b=4).draw(**settings)[0])
    for other in (mixture(a=0.61, b=0.39), mixture(a=0.6, b=0.39, c=0.01)):
        same = (other.draw(**settings)[0] == first).all(dim=1)
        assert 0.97 < same.float().mean() < 1


def test_several_sources_are_one_data_set(tmp_path: Path) -> None:
    texts = {"a": "abcdefghi\n" * 150, "b": "0123456789\n" * 200}
    for name, text in texts.items():
        (tmp_path / f"{name}.txt").write_text(text)
    a, b = (str(tmp_path / f"{name}.txt") for name in texts)
    data = dataset.load(Data(sources={b: 3, a: 1}))
    assert data.name == "a.txt+b.txt"
    assert data.vocab_size == 20
    parts = [dataset.load(Data(dataset=name)) for name in (a, b)]
    assert len({data.sha256, parts[0].sha256, parts[1].sha256}) == 3
    assert data.sha256 == dataset.load(Data(sources={a: 9, b: 1})).sha256
    assert list(data.splits) == list(parts[0].splits)
    for name, split in data.splits.items():
        both = "".join(part.decode(part.splits[name].tokens.tolist()) for part in parts)
        assert data.decode(split.tokens.tolist()) == both
        assert split.n_bytes == len(both)
    dataset.require_block(data, 70)
    inputs, _ = data.batches().draw(seed=0, step=0, total=9, batch_size=400, block_size=16)
    digits = sum(text.replace("\n", "").isdigit() for text in map(data.decode, inputs.tolist()))
    assert digits / 400 == pytest.approx(0.75, abs=0.07)
    assert dataset.load(Data(sources={a: 3})).sha256 == parts[0].sha256
