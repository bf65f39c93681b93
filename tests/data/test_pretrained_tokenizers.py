"""Tokenizers of pretrained models: the ids that Hugging Face's own gives, from either kind of file."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

import pytest
import regex
from hypothesis import example, given, settings
from hypothesis import strategies as st

pytest.importorskip("tokenizers")

from pretrained_helpers import SPECIAL, gguf_file, letters, theirs, trained, written

from foundry.data import dataset
from foundry.data.byte_pairs import last_cut
from foundry.data.pretrained import patterns
from foundry.data.pretrained.opening import read
from foundry.data.pretrained.tokenizer import Pretrained
from foundry.data.settings import Data
from foundry.errors import UserError

KINDS = ("gpt2", "smollm", "llama3", "qwen2")
PRE = {"gpt2": "gpt-2", "smollm": "smollm", "llama3": "llama-bpe", "qwen2": "qwen2"}
SAMPLES = [
    "Grüße, 天地玄黃! ½ x² e\u0301 — it's 12:30…",
    "def f(x):\n    return x  # 3\n\n\n",
    "a\t\tb\r\n\r\n",
]

# words of the text that was learned, all kinds of white space, digits, letters of several scripts, marks
ODD = st.sampled_from(" \n\r\t\x00\x1c\x85\u00a0\u2028'sStT,.!_-/aZéǅſ中٣½²12\u0301𝄞😀")
WORDS = st.sampled_from(
    ["the ", " the", "king", "And ", "\n\n", "  ", "1234", "'ll", "'LL", *SPECIAL, "<|im"]
)
TEXTS = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"])), st.lists(ODD | WORDS, max_size=30).map("".join)
)


@functools.cache
def made(kind: str) -> Any:
    lines = [*dataset.read_text("shakespeare_char")[:40_000].splitlines(keepends=True), *SAMPLES * 20]
    return trained(kind, lines)


@pytest.fixture(scope="session", params=KINDS)
def both(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Pretrained, Any]:
    """Ours and theirs of one file."""
    path = tmp_path_factory.mktemp(request.param) / "tokenizer.json"
    made(request.param).save(str(path))
    return read(path), made(request.param)


@given(text=TEXTS)
@example(text="  12  34 a  5\n 6 \n\n 7")
@example(text="<|im_start|>user\nHow's it?<|im_end|>\n<|endoftext|>")
@settings(deadline=None, max_examples=400)
def test_ids_and_text_are_theirs(both: tuple[Pretrained, Any], text: str) -> None:
    ours, other = both
    ids = ours.encode(text).tolist()
    assert ids == other.encode(text, add_special_tokens=False).ids
    assert ours.decode(ids) == other.decode(ids, skip_special_tokens=False)
    spelling = ours.spelling()
    assert b"".join(spelling[i] for i in ids).decode() == ours.decode(ids)


@given(text=TEXTS, more=TEXTS)
@settings(deadline=None, max_examples=200)
@pytest.mark.parametrize("pattern", patterns.KNOWN)
def test_a_cut_leaves_every_word_whole_whatever_follows(pattern: str, text: str, more: str) -> None:
    words = regex.compile(pattern).findall
    place = last_cut(text)
    assert words(text + more) == words(text[:place]) + words(text[place:] + more)


@given(
    made_of=st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)), max_size=25),
    texts=st.lists(st.text("abc", max_size=12), min_size=1, max_size=8),
    shuffled=st.randoms(use_true_random=False),
)
@settings(deadline=None, max_examples=400)
def test_any_list_of_merges_means_what_it_means_to_them(
    made_of: list[tuple[int, int]], texts: list[str], shuffled: Any, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Merges in any order, several that make one token, tokens that none of their own letters come to."""
    tokens, merges = ["a", "b", "c"], []
    for first, second in made_of:
        pair = (tokens[first % len(tokens)], tokens[second % len(tokens)])
        if len("".join(pair)) <= 8 and pair not in merges:
            merges.append(pair)
            tokens.append("".join(pair))
    shuffled.shuffle(merges)
    numbers = {token: 300 - i for i, token in enumerate(dict.fromkeys(tokens[3:]))}
    path = tmp_path_factory.mktemp("merges") / "tokenizer.json"
    path.write_text(written({**letters(), **numbers}, merges))
    ours, other = read(path), theirs(path.read_text())
    for text in texts:
        assert ours.encode(text).tolist() == other.encode(text, add_special_tokens=False).ids


def test_words_that_are_tokens_are_taken_whole_where_the_file_says_so(tmp_path: Path) -> None:
    tokens = {**letters(), "ab": 300, "bc": 301, "abcd": 302}
    merges = [("b", "c"), ("a", "b")]
    path = tmp_path / "tokenizer.json"
    for whole in (False, True):
        path.write_text(written(tokens, merges, ignore_merges=whole))
        ours, other = read(path), theirs(path.read_text())
        for text in ("abcd", "abcd abcd", "abcda", "xabcd", "ab abc"):
            assert ours.encode(text).tolist() == other.encode(text, add_special_tokens=False).ids
    path.write_text(written({**tokens, "abc": 303}, merges, ignore_merges=True))
    with pytest.raises(UserError, match="takes 'abc' as a word of its own"):
        read(path).encode("abc")


@pytest.mark.parametrize("unknown", [None, "<|endoftext|>"])
def test_bytes_without_a_token_are_left_out_or_unknown_as_with_them(
    unknown: str | None, tmp_path: Path
) -> None:
    path = tmp_path / "tokenizer.json"
    text = written({"a": 0, "b": 1, "ab": 2}, [("a", "b")], unk_token=unknown)
    body = json.loads(text)
    if unknown:
        body["model"]["vocab"][unknown] = 3
    path.write_text(json.dumps(body))
    ours, other = read(path), theirs(path.read_text())
    for sample in ("abxab", "é", "x", "a\x00b"):
        assert ours.encode(sample).tolist() == other.encode(sample, add_special_tokens=False).ids


@pytest.mark.parametrize("kind", KINDS)
def test_a_gguf_file_of_the_same_tokenizer_gives_the_same(kind: str, tmp_path: Path) -> None:
    pytest.importorskip("gguf")
    made(kind).save(str(tmp_path / "tokenizer.json"))
    ours = read(tmp_path)
    other = read(gguf_file(tmp_path / "model.gguf", made(kind), PRE[kind]))
    text = dataset.read_text("shakespeare_char")[50_000:52_000] + "".join(SAMPLES)
    assert other.encode(text).tolist() == ours.encode(text).tolist()
    assert other.end == ours.end == ours.special_tokens["<|endoftext|>"]
    assert other.special_tokens == ours.special_tokens == {name: i for i, name in enumerate(SPECIAL)}
    if kind != "llama3":  # there the GGUF file says that words may be taken whole
        assert other.sha256 == ours.sha256


def test_what_is_saved_is_the_same_for_us_and_for_them(both: tuple[Pretrained, Any], tmp_path: Path) -> None:
    ours, other = both
    ours.save(tmp_path)
    again = read(tmp_path / "tokenizer.json")
    assert again.sha256 == ours.sha256
    text = dataset.read_text("shakespeare_char")[60_000:61_000] + "".join(SAMPLES)
    read_by_them = theirs((tmp_path / "tokenizer.json").read_text())
    assert read_by_them.encode(text).ids == other.encode(text).ids == again.encode(text).tolist()


def test_hashes_tell_tokenizers_apart(tmp_path: Path) -> None:
    hashes = set()
    for kind in KINDS:
        made(kind).save(str(tmp_path / "tokenizer.json"))
        hashes.add(read(tmp_path).sha256)
    assert len(hashes) == len(KINDS)


def test_a_data_set_takes_the_tokenizer_that_it_names(tmp_path: Path) -> None:
    made("smollm").save(str(tmp_path / "tokenizer.json"))
    data = dataset.load(Data(tokenizer="pretrained", vocabulary=str(tmp_path)))
    text = dataset.read_text("shakespeare_char")
    assert text.startswith(data.decode(data.splits["train"].tokens.tolist()))
    assert text.endswith(data.decode(data.splits["test"].tokens.tolist()))
    assert data.vocab_size == made("smollm").get_vocab_size()
    assert sum(split.n_bytes for split in data.splits.values()) == len(text.encode())
    with pytest.raises(UserError, match=r"data.tokenizer pretrained needs data.vocabulary"):
        dataset.load(Data(tokenizer="pretrained"))


def broken(**changes: Any) -> str:
    body = json.loads(written(letters(), []))
    for key, value in changes.items():
        section, _, name = key.partition("__")
        if name:
            body[section][name] = value
        else:
            body[section] = value
    return json.dumps(body)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "tokenizer.json cannot be read"),
        ("[]", "holds no JSON object"),
        ("{}", "is damaged (KeyError: 'model')"),
        (broken(model__type="Unigram"), "it is a model of type Unigram, and only byte pairs are known here"),
        (broken(model__byte_fallback=True), "it falls back on bytes of what is written as bytes already"),
        (broken(model__dropout=0.1), "its dropout is 0.1, which is not known here"),
        (broken(pre_tokenizer={"type": "Metaspace"}), "it makes text of tokens by ByteLevel"),
        (broken(pre_tokenizer=None), "it cuts words by None"),
        (broken(normalizer={"type": "Lowercase"}), "it changes text by Lowercase, not by NFC alone"),
        (broken(added_tokens=[]), "none of its special tokens ends a text"),
    ],
)
def test_what_cannot_be_read_is_said_in_a_sentence(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_text(text)
    with pytest.raises(UserError) as caught:
        read(tmp_path)
    assert message in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_is_no_tokenizer_is_said_in_a_sentence(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "gone.json", Path(__file__)):
        with pytest.raises(UserError, match=r"is no tokenizer: name a tokenizer.json"):
            read(path)
    path = tmp_path / "tokenizer.json"
    path.write_text(written(letters(), []).replace('"merges": []', '"merges": [["a", "b"]]'))
    ours = read(path)
    with pytest.raises(UserError, match="make no token"):
        ours.encode("a")
