"""What a model expects before a text: what Hugging Face's tokenizers put there, once and not twice."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("tokenizers")

import pieces_helpers
import pretrained_helpers
import tokenizers
from conversation_helpers import talk
from pieces_helpers import of_kind
from test_conversation_formats import TEMPLATES
from tokenizers import processors

from foundry.data import dataset
from foundry.data.conversations.chat import Dialogue
from foundry.data.conversations.pieces import encode, text_of
from foundry.data.conversations.settings import FORMATS
from foundry.data.pretrained.opening import read
from foundry.data.pretrained.tokenizer import Pretrained
from foundry.data.tokenizer import whole
from foundry.registry import load_part

MARKS = ("<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>", "<|end_of_text|>")
LINES = dataset.read_text("shakespeare_char")[:20_000].splitlines(keepends=True)
TEXTS = ("the king", " of\n", "", "<|begin_of_text|>")


def template(token: str, number: int, *, ends: bool = False) -> Any:
    after = f" {token}" if ends else ""
    return processors.TemplateProcessing(
        single=f"{token} $A{after}", pair=f"{token} $A {token}:1 $B:1", special_tokens=[(token, number)]
    )


def llama3() -> Any:
    """Make one with the marks of Llama 3, which puts one of them before every text."""
    made = pretrained_helpers.trained("llama3", LINES)
    made.add_special_tokens(list(MARKS))
    level = processors.ByteLevel(trim_offsets=False)
    made.post_processor = processors.Sequence([level, template(MARKS[0], made.token_to_id(MARKS[0]))])
    return made


def llama2() -> Any:
    """Make one of pieces, with <s> before every text and, of no interest here, after it."""
    made = pieces_helpers.theirs(of_kind(pieces_helpers.trained(LINES), "llama2"))
    made.post_processor = template("<s>", 1, ends=True)
    return made


MADE = {"llama3": llama3(), "llama2": llama2(), "qwen2": pretrained_helpers.trained("qwen2", LINES)}


def ours(made: Any, folder: Path) -> Pretrained:
    made.save(str(folder / "tokenizer.json"))
    return read(folder)


@pytest.mark.parametrize("kind", MADE)
def test_a_text_begins_as_with_them(kind: str, tmp_path: Path) -> None:
    made = MADE[kind]
    read_by_us = ours(made, tmp_path)
    for text in TEXTS:
        wanted = made.encode(text).ids[: -1 if kind == "llama2" else None]
        assert whole(text, read_by_us).tolist() == wanted
        assert wanted[: len(read_by_us.start)] == list(read_by_us.start)
    assert len(read_by_us.start) == (kind != "qwen2")


@pytest.mark.parametrize("kind", MADE)
def test_what_is_saved_puts_it_there_too(kind: str, tmp_path: Path) -> None:
    read_by_us = ours(MADE[kind], tmp_path)
    read_by_us.save(tmp_path)
    again = tokenizers.Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    again.encode_special_tokens = True
    assert read(tmp_path).sha256 == read_by_us.sha256
    for text in TEXTS:
        assert again.encode(text).ids == whole(text, read_by_us).tolist()
    one, other = again.encode("a").ids, again.encode("b").ids
    assert again.encode("a", "b").ids == [*one, *other]


def test_hashes_tell_with_from_without(tmp_path: Path) -> None:
    for kind in ("llama3", "llama2"):
        hashed = ours(MADE[kind], tmp_path).sha256
        body = json.loads((tmp_path / "tokenizer.json").read_text())
        (tmp_path / "tokenizer.json").write_text(json.dumps(body | {"post_processor": None}))
        assert read(tmp_path).start == ()
        assert read(tmp_path).sha256 != hashed


@pytest.mark.parametrize("says", [True, False, None])
def test_files_of_pieces_say_it_themselves(says: bool | None, tmp_path: Path) -> None:
    """Where they do not, there is one, as llama.cpp has it and Llama's own code."""
    pytest.importorskip("sentencepiece")
    pytest.importorskip("gguf")
    model = pieces_helpers.sentencepiece_model(LINES, tmp_path / "tokenizer.model")
    more = {} if says is None else {"add_bos_token": says}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(more))
    found = read(tmp_path / "tokenizer.model")
    assert found.start == (() if says is False else (model.bos_id(),))
    path = pieces_helpers.gguf_file(tmp_path / "model.gguf", model, **more)
    assert read(path).start == found.start
    assert read(path).sha256 == found.sha256
    (tmp_path / "tokenizer_config.json").unlink()
    assert read(tmp_path / "tokenizer.model").start == (model.bos_id(),)


@pytest.mark.parametrize(
    ("pre", "more", "there"),
    [
        ("llama-bpe", {}, True),
        ("llama-bpe", {"add_bos_token": False}, False),
        ("smollm", {}, False),
        ("smollm", {"add_bos_token": True}, True),
    ],
)
def test_gguf_files_of_byte_pairs_say_it_or_their_kind_does(
    pre: str, more: dict[str, bool], there: bool, tmp_path: Path
) -> None:
    pytest.importorskip("gguf")
    made = pretrained_helpers.trained("llama3" if pre == "llama-bpe" else "smollm", LINES)
    found = read(pretrained_helpers.gguf_file(tmp_path / "model.gguf", made, pre, **more))
    assert found.start == ((found.special_tokens["<|im_start|>"],) if there else ())


@pytest.mark.parametrize("kind", MADE)
@pytest.mark.parametrize("name", ["chatml", "llama3", "alpaca"])
def test_a_conversation_begins_with_it_once(kind: str, name: str, tmp_path: Path) -> None:
    tokenizer = ours(MADE[kind], tmp_path)
    conversation = talk("Who's there?", "It is I.", "Who?", "Hamlet")
    form = load_part(FORMATS, "conversation format", name)
    ids, replies = encode(form.written(conversation), tokenizer)
    start = list(tokenizer.start)
    assert ids[: len(start)].tolist() == start
    assert not replies[: len(start)].any()
    assert all(ids.tolist().count(number) == 1 for number in start)
    asked = Dialogue(name, tokenizer).prompt("Who's there?")
    assert asked[: len(start)].tolist() == start
    spelled = b"".join(tokenizer.spelled[number] for number in ids[len(start) :])
    assert "Who's there?" in spelled.decode()
    if kind == "llama3" and name == "llama3":
        assert b"".join(tokenizer.spelled[number] for number in ids).decode() == text_of(
            form.written(conversation)
        )


@pytest.mark.slow
@pytest.mark.parametrize("kind", MADE)
def test_transformers_begins_a_text_and_a_conversation_so(kind: str, tmp_path: Path) -> None:
    """What we have read and saved is read by transformers, whose llama3 template writes its own beginning."""
    transformers = pytest.importorskip("transformers")
    tokenizer = ours(MADE[kind], tmp_path)
    tokenizer.save(tmp_path)
    (tmp_path / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "PreTrainedTokenizerFast"})
    )
    auto = transformers.AutoTokenizer.from_pretrained(tmp_path)
    for text in TEXTS[:2]:
        assert auto(text).input_ids == whole(text, tokenizer).tolist()
    if kind == "llama3":
        conversation = talk("Who's there?", "It is I.", "Who?", "Hamlet")
        form = load_part(FORMATS, "conversation format", "llama3")
        wanted = auto.apply_chat_template(
            [{"role": message.role, "content": message.content} for message in conversation],
            chat_template=TEMPLATES["llama3"].replace("bos_token", "'<|begin_of_text|>'"),
            tokenize=True,
            return_dict=False,
        )
        # what the assistant says is cut into tokens apart, the rest is one text between marks for both
        assert encode(form.written(conversation), tokenizer)[0].tolist() == wanted
