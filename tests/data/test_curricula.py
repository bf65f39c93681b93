"""What each curriculum promises to training, and what each does."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from foundry.data import dataset
from foundry.data.batches import Batch, Blocks
from foundry.data.characters import Characters
from foundry.data.curriculum import CELL, COMPETENCE, OPENED
from foundry.data.settings import Data
from foundry.registry import load_part, module_names

FOLDER = "foundry/data/curricula"
NAMES = module_names(FOLDER)
TOTAL = 100
LETTERS = Characters("\nabcdefgh")


def blocks(name: str, tokens: np.ndarray[tuple[int], np.dtype[np.uint16]]) -> Blocks:
    return Blocks(tokens, load_part(FOLDER, "curriculum", name).build(tokens, LETTERS))


def random_tokens(n: int) -> np.ndarray[tuple[int], np.dtype[np.uint16]]:
    return np.random.default_rng(0).integers(0, LETTERS.vocab_size, n).astype(np.uint16)


def drawn(source: Blocks, step: int, batch_size: int = 6, block_size: int = 32) -> Batch:
    return source.draw(seed=3, step=step, total=TOTAL, batch_size=batch_size, block_size=block_size)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("n", [40, CELL - 1, CELL, 10 * CELL + 17])
@pytest.mark.parametrize("block_size", [1, 7, 32])
def test_every_update_sees_as_many_tokens_of_the_text(name: str, n: int, block_size: int) -> None:
    tokens = random_tokens(n)
    source = blocks(name, tokens)
    for step in (0, 19, 20, 45, 50, 99):
        inputs, targets = drawn(source, step, block_size=block_size)
        assert inputs.shape == targets.shape
        assert inputs.numel() == 6 * block_size
        assert inputs.shape[0] % 6 == 0
        assert inputs.dtype == targets.dtype == torch.int64
        assert torch.equal(inputs[:, 1:], targets[:, :-1])


@pytest.mark.parametrize("name", NAMES)
def test_a_batch_depends_on_the_arguments_alone(name: str) -> None:
    tokens = random_tokens(10 * CELL)
    once, again = blocks(name, tokens), blocks(name, tokens)
    for step in (0, 30, 99):
        drawn(again, step + 1)
        assert all(torch.equal(a, b) for a, b in zip(drawn(once, step), drawn(again, step), strict=True))


@pytest.mark.parametrize("name", NAMES)
def test_the_last_updates_draw_as_without_a_curriculum(name: str) -> None:
    tokens = random_tokens(10 * CELL)
    for step in (60, 99):
        plain = drawn(Blocks(tokens), step)
        assert all(torch.equal(a, b) for a, b in zip(drawn(blocks(name, tokens), step), plain, strict=True))


def starts(source: Blocks) -> Iterator[tuple[int, set[int]]]:
    """Yield the cells that blocks of one token start in, by step; the tokens of each cell are its own."""
    for step in range(0, TOTAL, 5):
        yield step, {int(i) for i in drawn(source, step, batch_size=400, block_size=1)[0].flatten()}


@pytest.mark.parametrize(
    ("name", "cells"),
    [
        # each cell of one letter, rarer letters later: 5 cells of a, 4 of b, ...
        ("difficulty", "abacabdacbdacb"),
        # the more newlines, the shorter the lines
        ("length", "hgfedcba"),
    ],
)
def test_easy_cells_come_first_and_all_by_the_middle(name: str, cells: str) -> None:
    pieces = []
    for letter in cells:
        cell = [LETTERS.encode(letter)[0]] * CELL
        if name == "length":
            for i in range(LETTERS.encode(letter)[0] * 20):
                cell[i] = 0
        pieces += cell
    source = blocks(name, np.array(pieces, dtype=np.uint16))
    easiest_first = LETTERS.encode("abcd" if name == "difficulty" else "hgfedcba").tolist()
    for step, seen in starts(source):
        letters = [letter for letter in easiest_first if letter in seen]
        assert letters == easiest_first[: len(letters)]
        assert (len(letters) == len(easiest_first)) or step < OPENED * TOTAL
        if step == 0:
            assert len(letters) == int(np.ceil(COMPETENCE * len(easiest_first)))


def test_the_ramp_runs_from_a_quarter_of_the_block_to_the_whole() -> None:
    source = blocks("block_ramp", random_tokens(1000))
    shapes = [tuple(drawn(source, step)[0].shape) for step in (0, 19, 20, 39, 40, 99)]
    assert shapes == [(24, 8), (24, 8), (12, 16), (12, 16), (6, 32), (6, 32)]
    assert drawn(source, 0, block_size=6)[0].shape == (12, 3)
    assert drawn(source, 0, block_size=7)[0].shape == (6, 7)


def test_an_experiment_gets_the_curriculum_that_it_names() -> None:
    plain, ramp = (dataset.load(Data(curriculum=name)).batches() for name in ("none", "block_ramp"))
    draw = {"seed": 0, "step": 0, "total": 9, "batch_size": 2, "block_size": 64}
    assert plain.draw(**draw)[0].shape == (2, 64)
    assert ramp.draw(**draw)[0].shape == (8, 16)


def test_common_words_come_first_in_shakespeare() -> None:
    data = dataset.load(Data(curriculum="difficulty"))
    counts = np.bincount(data.splits["train"].tokens)
    share = torch.from_numpy(counts / counts.sum())
    settings = {"seed": 0, "total": TOTAL, "batch_size": 64, "block_size": 64}
    early, late = (share[data.batches().draw(step=step, **settings)[0]].log().mean() for step in (0, 99))
    assert early > late + 0.05
