"""A tokenizer.json, as Hugging Face's fast tokenizers are kept."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from foundry.data.pretrained import patterns, pieces_json
from foundry.data.pretrained.definition import Definition, end_among
from foundry.data.pretrained.json_object import read_object
from foundry.data.pretrained.pieces import Pieces
from foundry.data.pretrained.template import start_of
from foundry.errors import UserError

FILE = "tokenizer.json"
_PLAIN: Mapping[str, tuple[object, ...]] = {  # what byte pairs can be besides, with the values that mean not
    "dropout": (None, 0.0),
    "continuing_subword_prefix": (None, ""),
    "end_of_word_suffix": (None, ""),
}


def read(path: Path) -> Definition | Pieces:
    """Read one; `tokenizer_config.json` beside it may name what ends a text.

    Raises:
        UserError: it is damaged, or not of byte pairs that are known here.
    """
    body = read_object(path)
    try:
        return _definition(body, path)
    except UserError as error:
        raise error if str(path) in str(error) else UserError(f"{path}: {error}") from None
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(f"{path} is damaged ({type(error).__name__}: {error})") from None


def _definition(body: Mapping[str, Any], path: Path) -> Definition | Pieces:
    model = body["model"]
    if model.get("type", "BPE") != "BPE" or "merges" not in model:
        raise UserError(f"it is a model of type {model.get('type')}, and only byte pairs are known here")
    for key, plain in _PLAIN.items():
        if model.get(key) not in plain:
            raise UserError(f"its {key} is {model[key]!r}, which is not known here")
    if pieces_json.is_one(body):
        return pieces_json.definition(body, _named_end(path), path)
    if model.get("byte_fallback"):
        raise UserError("it falls back on bytes of what is written as bytes already, which is not known here")
    added = {token["content"]: int(token["id"]) for token in body.get("added_tokens") or []}
    vocab = {token: int(number) for token, number in model["vocab"].items()}
    unspelled = model.get("unk_token")
    return Definition(
        vocab={token: number for token, number in vocab.items() if token not in added},
        merges=[pieces_json.pair(merge) for merge in model["merges"]],
        added=added,
        pattern=patterns.of_steps(body.get("pre_tokenizer")),
        nfc=_composes(pieces_json.steps(body, "normalizer", "normalizers")),
        whole_words=bool(model.get("ignore_merges", False)),
        unknown=None if unspelled is None else {**vocab, **added}[unspelled],
        start=start_of(body.get("post_processor")),
        end=end_among(added, _named_end(path), path),
    )


def _composes(changes: list[Mapping[str, Any]]) -> bool:
    if any(step["type"] != "NFC" for step in changes):
        raise UserError(f"it changes text by {pieces_json.words(changes)}, not by NFC alone")
    return bool(changes)


def _named_end(path: Path) -> list[str]:
    beside = path.with_name("tokenizer_config.json")
    if not beside.is_file():
        return []
    token = read_object(beside).get("eos_token")
    token = token.get("content") if isinstance(token, dict) else token
    return [token] if isinstance(token, str) else []
