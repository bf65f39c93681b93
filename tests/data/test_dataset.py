"""Texts, vocabularies and splits."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foundry.data import dataset
from foundry.data.characters import Characters
from foundry.data.settings import Data
from foundry.errors import UserError
from foundry.training.experiment import parse

PARTS = ("train", "val_search", "val_confirm", "test")


@pytest.fixture
def text_file(tmp_path: Path) -> Path:
    path = tmp_path / "text.txt"
    path.write_text("".join(chr(97 + i * i % 26) for i in range(1013)), encoding="utf-8")
    return path


def test_the_splits_are_the_whole_text_and_two_of_them_take_turns() -> None:
    data = dataset.load(Data(dataset="shakespeare_char"))
    text = dataset.read_text("shakespeare_char")
    assert list(data.splits) == list(PARTS)
    train, search, confirm, test = (data.decode(data.splits[name].tokens.tolist()) for name in PARTS)
    assert text == train + text[len(train) : -len(test)] + test
    assert len(search) + len(confirm) == len(text) - len(train) - len(test)
    for turn in range(20):
        middle = len(text) * (2 * (160 + turn) + 1) // 400
        assert text[middle - 2500 : middle + 2500] in (confirm if turn % 2 else search)
    assert sum(split.n_bytes for split in data.splits.values()) == len(text.encode())
    shares = [len(data.splits[name].tokens) / len(text) for name in PARTS]
    assert shares == pytest.approx([0.80, 0.05, 0.05, 0.10], abs=1e-5)


def test_nanogpt_splits_a_text_of_tiny_shakespeares_length_as_nanogpt_does(tmp_path: Path) -> None:
    path = tmp_path / "long.txt"
    path.write_text(("abcdefghi\n" * 111_540)[:1_115_394], encoding="utf-8")
    splits = dataset.load(Data(dataset=str(path), split="nanogpt")).splits
    assert [len(splits[name].tokens) for name in PARTS] == [1_003_854, 111_540, 111_540, 111_540]
    assert np.array_equal(splits["val_search"].tokens, splits["test"].tokens)


@given(length=st.integers(1000, 3000))
@settings(deadline=None, max_examples=30)
def test_every_length_splits_without_gap_or_overlap(
    tmp_path_factory: pytest.TempPathFactory, length: int
) -> None:
    path = tmp_path_factory.getbasetemp() / f"length-{length}.txt"
    path.write_text("ab" * (length // 2) + "c" * (length % 2), encoding="utf-8")
    splits = dataset.load(Data(dataset=str(path))).splits
    assert sum(len(splits[name].tokens) for name in PARTS) == length


def test_the_hash_is_of_the_files_bytes(text_file: Path) -> None:
    data = dataset.load(Data(dataset=str(text_file)))
    assert data.sha256 == hashlib.sha256(text_file.read_bytes()).hexdigest()


def test_line_ends_are_kept_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "dos.txt"
    path.write_bytes(b"one\r\n" * 300)
    assert dataset.load(Data(dataset=str(path))).tokenizer == Characters("\n\reno")


def test_bytes_are_counted_where_characters_take_several(tmp_path: Path) -> None:
    path = tmp_path / "greek.txt"
    path.write_text("aα" * 500, encoding="utf-8")
    splits = dataset.load(Data(dataset=str(path))).splits
    assert [splits[name].n_bytes for name in PARTS] == [1200, 74, 76, 150]


@given(text=st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
@settings(deadline=None)
def test_ids_are_places_in_the_sorted_vocabulary(text: str) -> None:
    vocabulary = "".join(sorted(set(text)))
    ids = Characters(vocabulary).encode(text)
    assert ids.dtype == np.uint32
    assert "".join(vocabulary[i] for i in ids) == text


@given(text=st.text("abcxyz", min_size=1), place=st.integers(0), stranger=st.sampled_from("\x00m~𝄞"))
@settings(deadline=None)
def test_a_character_outside_the_vocabulary_is_named_with_its_place(
    text: str, place: int, stranger: str
) -> None:
    at = place % (len(text) + 1)
    with pytest.raises(UserError) as error:
        Characters("abcxyz").encode(text[:at] + stranger + text[at:])
    assert (
        str(error.value) == f"character {stranger!r} at position {at} is outside the vocabulary of the data"
    )


def test_another_texts_characters_can_be_the_vocabulary(tmp_path: Path, text_file: Path) -> None:
    alphabet = tmp_path / "alphabet.txt"
    alphabet.write_text("abcdefghijklmnopqrstuvwxyz", encoding="utf-8")
    data = dataset.load(Data(dataset=str(text_file), vocabulary=str(alphabet)))
    assert data.tokenizer == Characters("abcdefghijklmnopqrstuvwxyz")
    assert int(data.splits["train"].tokens[2]) == 4
    assert data.sha256 != hashlib.sha256(text_file.read_bytes()).hexdigest()


def test_a_vocabulary_that_lacks_a_character_is_refused(tmp_path: Path, text_file: Path) -> None:
    digits = tmp_path / "digits.txt"
    digits.write_text("0123456789", encoding="utf-8")
    with pytest.raises(UserError, match=r"text.txt': character 'a' is outside the vocabulary"):
        dataset.load(Data(dataset=str(text_file), vocabulary=str(digits)))


def test_an_empty_vocabulary_is_an_error_in_words(tmp_path: Path, text_file: Path) -> None:
    empty = tmp_path / "empty.txt"
    empty.touch()
    with pytest.raises(UserError, match="its vocabulary is empty"):
        dataset.load(Data(dataset=str(text_file), vocabulary=str(empty)))


def test_a_short_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "short.txt"
    path.write_text("a" * 999, encoding="utf-8")
    with pytest.raises(UserError, match="999 characters: too short"):
        dataset.load(Data(dataset=str(path)))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("shakespear_char", "unknown data set 'shakespear_char': did you mean 'shakespeare_char'"),
        ("tolstoy", "unknown data set 'tolstoy': known: shakespeare_char"),
        ("missing.txt", "data file 'missing.txt' does not exist"),
        ("no/such/folder", "data file 'no/such/folder' does not exist"),
    ],
)
def test_a_wrong_name_is_answered_with_the_nearest(
    name: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=message):
        dataset.load(Data(dataset=name))


def test_a_file_that_is_no_text_is_refused_with_the_place(tmp_path: Path) -> None:
    path = tmp_path / "picture.png"
    path.write_bytes(b"abc" + bytes([0xFF, 0xD8]) + b"a" * 2000)
    with pytest.raises(UserError, match=r"is not UTF-8 text \(byte 3\)"):
        dataset.load(Data(dataset=str(path)))


def test_a_wrong_scheme_is_answered_with_the_nearest(text_file: Path) -> None:
    with pytest.raises(UserError, match="unknown split 'standart': did you mean 'standard'"):
        dataset.load(Data(dataset=str(text_file), split="standart"))


def test_a_split_must_hold_a_block_and_its_target(text_file: Path) -> None:
    data = dataset.load(Data(dataset=str(text_file)))
    assert min(len(split.tokens) for split in data.splits.values()) == 50
    dataset.require_block(data, 49)
    with pytest.raises(UserError, match=r"split val_\w+ has 50 tokens, fewer than a block of 50 and its"):
        dataset.require_block(data, 50)


def test_an_experiment_names_everything_about_its_data() -> None:
    text = """
data:
  sources: {b.txt: 3, a.txt: 0.5}
  tokenizer: bpe
  vocab_size: 300
  filters: [min_length=20, letters=0.5]
  dedupe: near
  curriculum: length
"""
    data = parse(text).data
    assert data.names == {"a.txt": 0.5, "b.txt": 3.0}
    assert (data.tokenizer, data.vocab_size, data.dedupe, data.curriculum) == ("bpe", 300, "near", "length")
    assert data.filters == ("min_length=20", "letters=0.5")
    assert hash(data) == hash(parse(text).data)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("{tokenizer: bpee}", "unknown tokenizer 'bpee': did you mean 'bpe'"),
        ("{tokenizer: bpe, vocab_size: 256}", "data.vocab_size must be above 256"),
        ("{vocab_size: 300}", "data.vocab_size is for data.tokenizer bpe"),
        ("{filters: [min_lenght=3]}", "unknown filter 'min_lenght': did you mean 'min_length'"),
        ("{filters: [min_length]}", "filter 'min_length' is not of the form min_length=NUMBER"),
        ("{filters: [min_length=nan]}", "is not of the form min_length=NUMBER"),
        ("{dedupe: nearly}", "unknown dedupe 'nearly': did you mean 'near'"),
        ("{curriculum: lenght}", "unknown curriculum 'lenght': did you mean 'length'"),
        ("{sources: {a.txt: 0}}", "the weight of 'a.txt' must be a number above 0, not 0"),
        ("{sources: {a.txt: true}}", "the weight of 'a.txt' must be a number above 0, not True"),
        ("{sources: {1: 1}}", "the weight of 1 must be a number above 0"),
        ("{dataset: b.txt, sources: {a.txt: 1}}", "both dataset and sources"),
    ],
)
def test_mistakes_about_data_are_sentences(settings: str, message: str) -> None:
    with pytest.raises(UserError, match=re.escape(message)):
        parse(f"data: {settings}")


def test_what_changes_tokens_changes_the_hash(text_file: Path) -> None:
    same = Data(dataset=str(text_file))
    others = [
        replace(same, split="nanogpt"),
        replace(same, tokenizer="bpe", vocab_size=260),
        replace(same, tokenizer="bpe", vocab_size=270),
        replace(same, filters=("min_length=1",)),
        replace(same, filters=("min_length=2",)),
        replace(same, dedupe="exact"),
    ]
    hashes = [dataset.load(data).sha256 for data in (same, *others)]
    assert len(set(hashes)) == len(hashes)
    assert dataset.load(replace(same, curriculum="length")).sha256 == hashes[0]
    assert dataset.load(replace(same, tokenizer="char")).sha256 == hashes[0]


def test_byte_pairs_come_from_the_training_split_alone(tmp_path: Path) -> None:
    one, other = tmp_path / "one.txt", tmp_path / "other.txt"
    one.write_text("to be or not to be\n" * 100 + "the end of all\n" * 20, encoding="utf-8")
    other.write_text("to be or not to be\n" * 100 + "qwx zzz qwx zz\n" * 20, encoding="utf-8")
    loaded = [dataset.load(Data(dataset=str(path), tokenizer="bpe", vocab_size=262)) for path in (one, other)]
    assert loaded[0].tokenizer.sha256 == loaded[1].tokenizer.sha256
    assert loaded[0].sha256 != loaded[1].sha256


@pytest.mark.parametrize("tokenizer", ["char", "bpe"])
def test_bytes_are_what_the_tokens_of_a_split_spell(tmp_path: Path, tokenizer: str) -> None:
    lines = [json.dumps({"text": f"Größe {i}, “quoted”\nand so on 𝄞"}) for i in range(60)]
    path = tmp_path / "documents.jsonl"
    path.write_text("\n".join(lines), encoding="utf-8")
    data = dataset.load(Data(dataset=str(path), tokenizer=tokenizer))
    sizes = np.array([len(token) for token in data.tokenizer.spelling()])
    assert [int(sizes[split.tokens].sum()) for split in data.splits.values()] == [
        split.n_bytes for split in data.splits.values()
    ]
    assert sum(split.n_bytes for split in data.splits.values()) == len(dataset.read_text(str(path)).encode())


def test_loading_imports_neither_torch_nor_tiktoken_for_characters() -> None:
    program = "import sys; from foundry.data import dataset, settings; dataset.load(settings.Data())"
    check = "; assert not {'torch', 'tiktoken', 'rustbpe'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", program + check], check=True, timeout=60)
