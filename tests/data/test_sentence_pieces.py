"""Tokenizers in the manner of SentencePiece: the ids that Hugging Face's and SentencePiece itself give."""

from __future__ import annotations

import functools
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

pytest.importorskip("tokenizers")

from pieces_helpers import (
    BYTES,
    SPACE,
    SPECIAL,
    STEPS,
    TAKEN,
    gguf_file,
    of_kind,
    sentencepiece_model,
    theirs,
    trained,
)

from foundry.data import dataset
from foundry.data.conversations.settings import Conversations
from foundry.data.conversations.turns import Turns
from foundry.data.pretrained.opening import read
from foundry.data.pretrained.tokenizer import Pretrained
from foundry.data.settings import Data
from foundry.decoding.text import TextStream
from foundry.errors import UserError

SAMPLES = ["Grüße, 天地玄黃! ½ x² — it's 12:30…", "def f(x):\n    return x  # 3\n\n\n", "a\t\tb\r\n"]
SOMETIMES = {"type": "Metaspace", "prepend_scheme": "sometimes"}
ODD = st.sampled_from(" \n\r\t\x00\x85\u00a0\u2028's.!_-/aZéǅſ中٣½12\u0301𝄞😀" + SPACE)
WORDS = st.sampled_from(["the ", " the", "king", "And ", "\n\n", "  ", "1234", *SPECIAL, *TAKEN, BYTES[65]])
TEXTS = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"])), st.lists(ODD | WORDS, max_size=30).map("".join)
)


@functools.cache
def texts() -> list[str]:
    return [*dataset.read_text("shakespeare_char")[:40_000].splitlines(), *SAMPLES * 3]


@functools.cache
def learned() -> dict[str, Any]:
    return trained(texts())


@pytest.fixture(scope="session", params=STEPS)
def both(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Pretrained, Any]:
    """Ours and theirs of one file."""
    body = of_kind(learned(), request.param)
    path = tmp_path_factory.mktemp(request.param) / "tokenizer.json"
    path.write_text(json.dumps(body))
    return read(path), theirs(body)


@given(text=TEXTS)
@example(text="")
@example(text=" ")
@example(text="  the   king ")
@example(text="[INST] Who is it? [/INST]</s>\n\n\n\n<table>")
@settings(deadline=None, max_examples=300)
def test_ids_and_text_are_theirs(both: tuple[Pretrained, Any], text: str) -> None:
    ours, other = both
    ids = ours.encode(text).tolist()
    assert ids == other.encode(text, add_special_tokens=False).ids
    assert ours.decode(ids) == other.decode(ids, skip_special_tokens=False)


@given(text=TEXTS)
@settings(deadline=None, max_examples=200)
def test_text_comes_back(both: tuple[Pretrained, Any], text: str) -> None:
    """But that U+2581 is a space, and that some tokenizers take one space before a text for none."""
    ours, _ = both
    ids, spelling = ours.encode(text).tolist(), ours.spelling()
    back, text = ours.decode(ids), text.replace(SPACE, " ")
    assert back in (text, text.removeprefix(" "))
    assert b"".join(spelling[i] for i in ids).decode() in (back, f" {back}")


@given(text=TEXTS, more=TEXTS)
@settings(deadline=None, max_examples=200)
def test_a_text_that_is_cut_has_the_same_tokens(both: tuple[Pretrained, Any], text: str, more: str) -> None:
    ours, _ = both
    place = ours.cut(text)
    before = ours.encode(text[:place]).tolist() if place else []
    assert (
        before + ours.encode(text[place:] + more, begins=not place).tolist()
        == ours.encode(text + more).tolist()
    )


@pytest.mark.parametrize("kind", STEPS)
def test_a_text_is_cut_before_its_last_spaces(kind: str, tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text(json.dumps(of_kind(learned(), kind)))
    assert read(tmp_path).cut("If music be the  food") == len("If music be the")


@pytest.mark.parametrize("kind", ["llama2", "mistral"])
def test_bytes_of_a_conversation_are_those_of_what_is_learned(kind: str, tmp_path: Path) -> None:
    """An answer goes on from the question: no space comes before it."""
    (tmp_path / "tokenizer.json").write_text(json.dumps(of_kind(learned(), kind)))
    turns = [{"role": "user", "content": "Who is it?"}, {"role": "assistant", "content": "The king."}]
    (tmp_path / "chats.jsonl").write_text(f"{json.dumps({'messages': turns})}\n" * 40)
    data = dataset.load(
        Data(
            dataset=str(tmp_path / "chats.jsonl"),
            tokenizer="pretrained",
            vocabulary=str(tmp_path),
            conversations=Conversations(format="alpaca"),
        )
    )
    split = data.splits["train"]
    assert isinstance(split, Turns)
    first = slice(split.starts[0], split.starts[1])
    learned_ids = split.tokens[first][split.learned[first]]
    written = b"".join(data.tokenizer.spelling()[i] for i in learned_ids.tolist())
    assert split.n_bytes == len(written) * (len(split.starts) - 1)
    assert written.decode() == "The king.\n"


def test_a_token_that_reaches_into_the_next_word_forbids_cuts(tmp_path: Path) -> None:
    body = of_kind(learned(), "mistral")
    body["model"]["vocab"][f"e{SPACE}"] = 900
    body["model"]["merges"].append(["e", SPACE])
    (tmp_path / "tokenizer.json").write_text(json.dumps(body))
    ours, other, text = read(tmp_path), theirs(body), "we be the one " * 10_000
    assert ours.cut(text) == 0
    assert ours.encode(text).tolist() == other.encode(text, add_special_tokens=False).ids


def test_a_long_text_is_encoded_in_parts_and_no_token_differs(both: tuple[Pretrained, Any]) -> None:
    ours, other = both
    text = dataset.read_text("shakespeare_char")[:200_000] + "x" * 70_000 + "  \u2581 y" * 30_000
    assert ours.encode(text).tolist() == other.encode(text, add_special_tokens=False).ids


def test_a_long_text_with_tokens_that_are_taken_out_of_it(tmp_path: Path) -> None:
    """After each of them the file puts a space, too, but not where one part of the text ends."""
    body = of_kind(learned(), "llama2")
    number = len(body["model"]["vocab"])
    body["model"]["vocab"]["if"] = number
    plain = {**body["added_tokens"][0], "special": False}
    body["added_tokens"].append({**plain, "id": number, "content": "if"})
    (tmp_path / "tokenizer.json").write_text(json.dumps(body))
    text = "if  if it ifs or if\n" * 12_000
    assert read(tmp_path).encode(text).tolist() == theirs(body).encode(text, add_special_tokens=False).ids


def test_tokens_as_they_come_are_the_text_of_all(both: tuple[Pretrained, Any]) -> None:
    ours, _ = both
    ids = ours.encode("If music be the food of love, 天 play on").tolist()
    stream = TextStream(ours.decode)
    assert "".join(map(stream.push, ids)) + stream.finish() == ours.decode(ids)


def test_what_is_saved_is_the_same_for_us_and_for_them(both: tuple[Pretrained, Any], tmp_path: Path) -> None:
    ours, other = both
    ours.save(tmp_path)
    again = read(tmp_path)
    assert again.sha256 == ours.sha256
    text = dataset.read_text("shakespeare_char")[60_000:61_000] + "".join(SAMPLES)
    read_by_them = theirs(json.loads((tmp_path / "tokenizer.json").read_text()))
    assert read_by_them.encode(text).ids == other.encode(text).ids == again.encode(text).tolist()
    assert (again.end, again.special_tokens) == (2, {name: i for i, name in enumerate(SPECIAL)})


def test_transformers_read_what_is_saved(both: tuple[Pretrained, Any], tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    ours, _ = both
    ours.save(tmp_path)
    other = transformers.PreTrainedTokenizerFast(tokenizer_file=str(tmp_path / "tokenizer.json"))
    text = " ".join(SAMPLES)
    assert other.encode(text, add_special_tokens=False) == ours.encode(text).tolist()
    assert other.decode(ours.encode(text)) == ours.decode(ours.encode(text).tolist()) == text


def test_hashes_tell_tokenizers_apart(tmp_path: Path) -> None:
    hashes = set()
    for kind in STEPS:
        (tmp_path / "tokenizer.json").write_text(json.dumps(of_kind(learned(), kind)))
        hashes.add(read(tmp_path).sha256)
    assert len(hashes) == len(STEPS)


def test_a_letter_without_bytes_is_unknown(tmp_path: Path) -> None:
    body = of_kind(learned(), "llama2")
    body["model"] |= {"byte_fallback": False}
    path = tmp_path / "tokenizer.json"
    for fused in (True, False):
        body["model"] |= {"fuse_unk": fused}
        path.write_text(json.dumps(body))
        ours, other = read(path), theirs(body)
        for text in ("天地 a 玄黃", "<0x41>", "x"):
            assert ours.encode(text).tolist() == other.encode(text, add_special_tokens=False).ids


def test_a_data_set_takes_the_tokenizer_that_it_names(tmp_path: Path) -> None:
    """Bytes are those of the text: the space before it is not of it."""
    (tmp_path / "tokenizer.json").write_text(json.dumps(of_kind(learned(), "llama2")))
    data = dataset.load(Data(tokenizer="pretrained", vocabulary=str(tmp_path)))
    text = dataset.read_text("shakespeare_char")
    assert text.startswith(data.decode(data.splits["train"].tokens.tolist()))
    assert text.endswith(data.decode(data.splits["test"].tokens.tolist()))
    assert data.vocab_size == len(learned()["model"]["vocab"])
    assert sum(split.n_bytes for split in data.splits.values()) == len(text.encode())


@pytest.mark.parametrize("settings", [{}, {"add_dummy_prefix": False}], ids=["llama2", "gemma"])
def test_a_model_of_sentencepiece_gives_its_own_ids(settings: dict[str, Any], tmp_path: Path) -> None:
    pytest.importorskip("sentencepiece")
    special = {"control_symbols": ["[INST]", "[/INST]"]}
    other = sentencepiece_model(texts(), tmp_path / "tokenizer.model", **special, **settings)
    ours = read(tmp_path)
    assert (ours.vocab_size, ours.end) == (other.vocab_size(), other.eos_id())
    assert list(ours.special_tokens) == ["<unk>", "<s>", "</s>", "[INST]", "[/INST]"]
    for text in (*SAMPLES, " a  b ", "[INST] <unk>", dataset.read_text("shakespeare_char")[50_000:80_000]):
        ids = ours.encode(text).tolist()
        assert ids == other.encode(text)
        assert ours.decode(ids) == other.decode(ids) == text


@pytest.mark.parametrize("prefix", [True, False])
def test_a_gguf_file_of_the_same_pieces_gives_the_same(prefix: bool, tmp_path: Path) -> None:
    pytest.importorskip("gguf")
    pytest.importorskip("sentencepiece")
    model = sentencepiece_model(texts(), tmp_path / "tokenizer.model", add_dummy_prefix=prefix)
    more = {} if prefix else {"add_space_prefix": False}
    ours, other = read(gguf_file(tmp_path / "model.gguf", model, **more)), read(tmp_path / "tokenizer.model")
    assert ours.sha256 == other.sha256
    assert ours.encode(" ".join(SAMPLES)).tolist() == model.encode(" ".join(SAMPLES))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"normalizer": {"type": "NFKC"}}, "it changes text by NFKC, and only spaces written as letters"),
        ({"normalizer": None}, "it cuts words by nothing, which is not known here"),
        ({"pre_tokenizer": {"type": "Whitespace"}}, "it cuts words by Whitespace, which is not known here"),
        ({"decoder": {"type": "ByteLevel"}}, "it makes text of tokens by ByteLevel, which is not known here"),
        ({"decoder": None}, "it makes text of tokens by nothing, which is not known here"),
        ({"normalizer": None, "pre_tokenizer": SOMETIMES}, "a space before a text 'sometimes'"),
        ({"pre_tokenizer": 3}, "is damaged (TypeError"),
        (
            {"model": {"vocab": {"a": 0}, "merges": [["a", "a"]], "byte_fallback": True}},
            "which make no token",
        ),
        ({"added_tokens": []}, "none of its special tokens ends a text"),
        ({"pre_tokenizer": {"type": "Metaspace", "replacement": "_"}, "normalizer": None}, "a space as '_'"),
    ],
)
def test_what_cannot_be_read_is_said_in_a_sentence(
    changes: dict[str, Any], message: str, tmp_path: Path
) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps({**of_kind(learned(), "llama2"), **changes}))
    with pytest.raises(UserError) as caught:
        read(path)
    assert message in str(caught.value)
    assert str(path) in str(caught.value)


def test_what_their_package_refuses_is_said_in_a_sentence(tmp_path: Path) -> None:
    body = of_kind(learned(), "mistral")
    body["model"]["vocab"]["a"] = -1
    (tmp_path / "tokenizer.json").write_text(json.dumps(body))
    with pytest.raises(UserError, match="the tokenizer is damaged: "):
        read(tmp_path).encode("a")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"model_type": "unigram"}, "is a model of type Unigram, and only byte pairs are known here"),
        ({"normalization_rule_name": "nmt_nfkc"}, "changes text by nmt_nfkc"),
        ({"treat_whitespace_as_suffix": True}, "does not write spaces before words"),
    ],
)
def test_a_model_of_another_kind_is_refused(settings: dict[str, Any], message: str, tmp_path: Path) -> None:
    pytest.importorskip("sentencepiece")
    sentencepiece_model(texts(), tmp_path / "tokenizer.model", **{"vocab_size": 400, **settings})
    with pytest.raises(UserError, match=message):
        read(tmp_path)


def test_what_is_not_installed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ids, sizes and text of tokens can be had without the package that makes tokens of text."""
    (tmp_path / "tokenizer.json").write_text(json.dumps(of_kind(learned(), "llama2")))
    ids = read(tmp_path).encode("The king").tolist()
    monkeypatch.setitem(sys.modules, "tokenizers", None)  # as if it were not there
    monkeypatch.setitem(sys.modules, "sentencepiece.sentencepiece_model_pb2", None)
    ours = read(tmp_path)
    assert (ours.vocab_size, ours.decode(ids)) == (len(learned()["model"]["vocab"]), "The king")
    with pytest.raises(UserError, match=r"needs the package tokenizers: pip install"):
        ours.encode("a")
    (tmp_path / "tokenizer.model").write_bytes(b"\n")
    with pytest.raises(UserError, match=r"tokenizer.model needs the packages sentencepiece and protobuf"):
        read(tmp_path / "tokenizer.model")


def test_a_damaged_model_is_said_to_be(tmp_path: Path) -> None:
    pytest.importorskip("sentencepiece")
    path = tmp_path / "tokenizer.model"
    path.write_bytes(b"\n\xff\xff")
    with pytest.raises(UserError, match=r"tokenizer.model cannot be read"):
        read(tmp_path)
    path.write_text("IQ== 0\nIg== 1\n")  # what Meta's Llama 3 has by that name
    with pytest.raises(UserError, match="is no tokenizer"):
        read(tmp_path)
