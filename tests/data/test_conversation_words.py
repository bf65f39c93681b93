"""What the assistant says, asked for in the same tokens whatever format stands around it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from conversation_helpers import openai, talk

from foundry.data import dataset
from foundry.data.conversations.settings import WORDS, Conversations
from foundry.data.conversations.turns import Turns
from foundry.data.pretrained import patterns
from foundry.data.pretrained.definition import Definition, alphabet
from foundry.data.settings import Data

FORMATS = ("chatml", "llama3", "alpaca")
CHATML = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
LLAMA3 = ("<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>")


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """Write conversations, and a tokenizer with a token for every mark."""
    talks = [talk(f"And {i}?", "so " * (1 + i % 4) + "it is.", "Is it?", f"Yes, {i}.") for i in range(40)]
    (tmp_path / "chats.jsonl").write_text("\n".join(map(openai, talks)))
    vocab = {letter: number for number, letter in enumerate(alphabet())}
    added = {name: 256 + i for i, name in enumerate((*CHATML, *LLAMA3))}
    made = Definition(vocab=vocab, merges=[], added=added, pattern=patterns.GPT2, end=256)
    (tmp_path / "tokenizer.json").write_text(json.dumps(made.as_json()))
    return tmp_path


def loaded(files: Path, form: str, loss_on: str) -> dataset.Dataset:
    settings = Conversations(format=form, loss_on=loss_on)
    path, vocabulary = str(files / "chats.jsonl"), str(files / "tokenizer.json")
    return dataset.load(
        Data(dataset=path, tokenizer="pretrained", vocabulary=vocabulary, conversations=settings)
    )


def asked(data: dataset.Dataset) -> str:
    split = data.splits["val_search"]
    assert isinstance(split, Turns)
    return data.decode(split.tokens[split.learned].tolist())


def test_every_format_asks_for_the_same_words(files: Path) -> None:
    data = [loaded(files, form, WORDS) for form in FORMATS]
    assert {asked(each) for each in data} == {"so it is.Yes, 32.so so so it is.Yes, 34."}
    assert len({each.splits["val_search"].n_bytes for each in data}) == 1
    assert len({each.sha256 for each in data}) == 1


def test_with_the_marks_that_end_them_they_differ(files: Path) -> None:
    data = [loaded(files, form, "assistant") for form in FORMATS]
    assert len({asked(each) for each in data}) == 3
    assert len({each.sha256 for each in data}) == 3
    assert asked(data[0]).startswith("so it is.<|im_end|>Yes, 32.<|im_end|>")


def test_other_conversations_are_other_data(files: Path) -> None:
    before = loaded(files, "chatml", WORDS).sha256
    path = files / "chats.jsonl"
    path.write_text(path.read_text().replace("And 3?", "And then?"))  # what is asked stays the same
    dataset.load.cache_clear()
    assert loaded(files, "chatml", WORDS).sha256 != before
