"""Conversations in rows: all of each epoch, only what is to be learned, the same batch for the same step."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from conversation_helpers import BYTES, openai, small_file, talk
from hypothesis import given, settings
from hypothesis import strategies as st

from foundry.data import prepare
from foundry.data.batches import Batches
from foundry.data.conversations.rows import SEPARATOR, Packed, Single, bins_of, evaluation, useful
from foundry.data.conversations.settings import Conversations
from foundry.data.conversations.turns import IGNORED, Chats, Turns, read_conversations
from foundry.data.settings import Data
from foundry.errors import UserError

BLOCK = 96


def chats(folder: Path, data: dict[str, object] | None = None, **asked: object) -> Chats:
    path = folder / "chats.jsonl"
    if not path.exists():
        small_file(folder)
    named = Data(**{"dataset": str(path), "tokenizer": "bpe", "vocab_size": 300, **(data or {})})  # type: ignore[arg-type]
    return read_conversations(named, Conversations(**asked))  # type: ignore[arg-type]


def turns_of(lengths: list[int]) -> Turns:
    """Make conversations of these lengths whose tokens are 1, 2, 3 …, the second half of each learned."""
    starts = np.cumsum([0, *lengths])
    tokens = np.arange(1, starts[-1] + 1, dtype="<u2")
    learned = np.concatenate([np.arange(n) >= max(1, n // 2) for n in lengths])
    return Turns(tokens, 1, learned, starts)


def everything_learned(turns: Turns) -> Counter[int]:
    return Counter(turns.tokens[turns.learned].tolist())


def learned_in(batches: list[tuple[torch.Tensor, torch.Tensor]]) -> Counter[int]:
    return Counter(int(t) for _, targets in batches for t in targets[targets != IGNORED])


def rows_of(turns: Turns, packed: bool, block: int) -> Batches:
    chosen = useful(turns, block)
    if packed:
        return Packed(turns, bins_of(turns, chosen.tolist(), block), 0)
    return Single(turns, chosen, 0)


def drawn(
    rows: Batches, step: int, batch_size: int = 4, block: int = BLOCK, seed: int = 0
) -> tuple[torch.Tensor, torch.Tensor]:
    return rows.draw(seed=seed, step=step, total=100, batch_size=batch_size, block_size=block)


LENGTHS = st.lists(st.integers(2, 60), min_size=1, max_size=25)


@pytest.mark.parametrize("packed", [False, True])
@given(lengths=LENGTHS, batch_size=st.integers(1, 5))
@settings(max_examples=40)
def test_an_epoch_has_every_conversation(packed: bool, lengths: list[int], batch_size: int) -> None:
    turns = turns_of(lengths)
    rows = rows_of(turns, packed, BLOCK)
    n = len(rows.bins) if isinstance(rows, Packed) else len(lengths)
    batches = [drawn(rows, step, batch_size) for step in range(-(-n // batch_size))]
    found, wanted = learned_in(batches), everything_learned(turns)
    assert set(found) == set(wanted)
    if n % batch_size == 0:
        assert found == wanted


@pytest.mark.parametrize("packed", [False, True])
@given(lengths=LENGTHS, step=st.integers(0, 50))
@settings(max_examples=40)
def test_a_target_is_the_next_token_of_the_same_conversation(
    packed: bool, lengths: list[int], step: int
) -> None:
    turns = turns_of(lengths)
    inputs, targets = drawn(rows_of(turns, packed, BLOCK), step)
    assert inputs.shape == targets.shape
    assert inputs.size(1) == BLOCK if packed else inputs.size(1) <= BLOCK
    counted = targets != IGNORED
    assert torch.equal(inputs[counted] + 1, targets[counted])  # the tokens count up
    first = turns.tokens[turns.starts[:-1]]
    assert not np.isin(targets[counted].numpy(), first).any()


@pytest.mark.parametrize("packed", [False, True])
def test_a_batch_depends_on_seed_and_step_alone(packed: bool) -> None:
    turns = turns_of([5, 9, 30, 12, 44, 7, 18, 22, 3, 11])
    rows = rows_of(turns, packed, BLOCK)
    forward = [drawn(rows, step) for step in range(12)]
    fresh = rows_of(turns, packed, BLOCK)
    for step in reversed(range(12)):
        assert all(torch.equal(*pair) for pair in zip(drawn(fresh, step), forward[step], strict=True))
    others = [drawn(rows, step, seed=1) for step in range(12)]
    assert any(
        one[0].shape != two[0].shape or not torch.equal(one[0], two[0])
        for one, two in zip(forward, others, strict=True)
    )


@given(lengths=st.lists(st.integers(2, 200), max_size=60), block=st.integers(8, 128))
def test_packed_rows_hold_each_conversation_once_and_no_more_than_fits(
    lengths: list[int], block: int
) -> None:
    turns = turns_of(lengths) if lengths else turns_of([2])
    bins = bins_of(turns, range(len(turns)), block)
    assert sorted(index for members in bins for index in members) == list(range(len(turns)))
    for members in bins:
        size = sum(int(turns.lengths[index]) + SEPARATOR for index in members)
        assert size <= block or len(members) == 1


def test_packing_leaves_little_room() -> None:
    lengths = [5 + (37 * i) % 60 for i in range(200)]
    bins = bins_of(turns_of(lengths), range(200), 128)
    assert sum(lengths) + SEPARATOR * 200 > 0.95 * 128 * len(bins)


def test_rows_of_like_length_lie_together() -> None:
    turns = turns_of([5 + (37 * i) % 60 for i in range(200)])
    rows = rows_of(turns, False, 128)
    batches = [drawn(rows, step, 8, 128) for step in range(25)]
    read = sum(inputs.numel() for inputs, _ in batches)
    assert sum(int((inputs != 0).sum()) for inputs, _ in batches) > 0.9 * read


def test_what_is_longer_than_a_block_loses_its_end() -> None:
    turns = turns_of([40, 6])
    assert useful(turns, 10).tolist() == [1]  # of the other only what comes later is learned
    for packed in (False, True):
        inputs, targets = drawn(rows_of(turns, packed, 30), 0, 2, 30)
        found = learned_in([(inputs, targets)])
        assert set(range(21, 32)) <= set(found)
        assert not set(range(32, 41)) & set(found)


def test_evaluation_walks_once_through_all_that_is_learned() -> None:
    turns = turns_of([5, 9, 30, 12, 44, 7, 18, 22, 3, 11])
    batches = list(evaluation(turns, block_size=BLOCK, tokens_per_batch=64))
    assert learned_in(batches) == everything_learned(turns)
    assert len(batches) > 1
    assert all(inputs.numel() <= 64 or len(inputs) == 1 for inputs, _ in batches)


def test_the_assistants_words_alone_are_learned_or_all(tmp_path: Path) -> None:
    (tmp_path / "chats.jsonl").write_text("\n".join([openai(talk("Who?", "Me."))] * 20))
    for loss_on, wanted in (
        ("assistant", "Me.<|im_end|>"),
        ("all", "|im_start|>user\nWho?<|im_end|>\n<|im_start|>assistant\nMe.<|im_end|>\n"),
    ):
        made = chats(tmp_path, {"tokenizer": "char", "vocab_size": None}, loss_on=loss_on)
        split = made.splits["val_search"]
        assert made.tokenizer.decode(split.tokens[split.learned].tolist()) == wanted
        assert split.n_bytes == len(wanted)


def test_splits_are_whole_conversations_in_the_order_of_the_file(tmp_path: Path) -> None:
    made = chats(tmp_path)
    assert {name: len(split) for name, split in made.splits.items()} == {
        "train": 48,
        "val_search": 3,
        "val_confirm": 3,
        "test": 6,
    }
    text = made.tokenizer.decode(made.splits["test"].tokens.tolist())
    assert text.startswith("<|im_start|>user\nand 54?<|im_end|>\n")


def test_the_hash_tells_what_the_tokens_depend_on(tmp_path: Path) -> None:
    variants: list[dict[str, object]] = [
        {},
        {"format": "alpaca"},
        {"loss_on": "all"},
        {"data": {"vocab_size": 290}},
        {"data": {"split": "nanogpt"}},
    ]
    hashes = [chats(tmp_path, **asked).sha256 for asked in variants]  # type: ignore[arg-type]
    assert len(set(hashes)) == len(variants)
    assert chats(tmp_path, packed=False).sha256 == hashes[0]


def test_bad_records_are_skipped_with_a_note_if_asked(tmp_path: Path) -> None:
    path = small_file(tmp_path)
    path.write_text("{}\n" + path.read_text())
    with pytest.raises(UserError, match="line 1: it needs one of the fields"):
        chats(tmp_path)
    made = chats(tmp_path, bad_records="skip")
    assert [note.partition(": it needs")[0] for note in made.notes] == [f"{path}, line 1, is left out"]


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        ({"filters": ("min_length=3",)}, "data.filters does not go with data.conversations"),
        ({"curriculum": "length"}, "data.curriculum does not go with data.conversations"),
    ],
)
def test_what_does_not_go_together_is_said(data: dict[str, object], sentence: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=sentence):
        chats(tmp_path, data)


def test_too_few_to_split(tmp_path: Path) -> None:
    small_file(tmp_path, 5)
    with pytest.raises(UserError, match="has 5 conversations, too few for split standard"):
        chats(tmp_path)


def test_another_vocabulary_may_be_given(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("ABCabc " * 400)
    prepare.prepare(Data(dataset=str(tmp_path / "text.txt"), tokenizer="bpe", vocab_size=260), tmp_path / "p")
    made = chats(tmp_path, {"tokenizer": None, "vocab_size": None, "vocabulary": str(tmp_path / "p")})
    assert made.tokenizer.vocab_size <= 260
    assert BYTES.vocab_size == 263
