"""The tokenizer inside a GGUF file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from foundry.data.pretrained import patterns, scored_pieces
from foundry.data.pretrained.definition import Definition, end_among
from foundry.data.pretrained.pieces import Pieces
from foundry.data.pretrained.scored_pieces import CONTROL, UNUSED, USER_DEFINED
from foundry.errors import UserError


def read(path: Path) -> Definition | Pieces:
    """Read it.

    Raises:
        UserError: there is none, or it is not of byte pairs that are known here.
    """
    value = _values(path)
    kind = value("model")
    if kind == "llama":
        return _pieces(value, path)
    if kind != "gpt2":
        raise UserError(
            f"{path} has a tokenizer of type {kind}, and only byte pairs (gpt2 and llama) are known here"
        )
    return _byte_level(value, path)


def _byte_level(value: Any, path: Path) -> Definition:
    try:
        habits = patterns.named(str(value("pre")))
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    tokens, merges = value("tokens") or [], value("merges") or []
    kinds = value("token_type") or [1] * len(tokens)
    added = {token: i for i, token in enumerate(tokens) if kinds[i] in (CONTROL, USER_DEFINED)}
    return Definition(
        vocab={token: i for i, token in enumerate(tokens) if token not in added and kinds[i] != UNUSED},
        merges=[_pair(merge) for merge in merges],
        added=added,
        pattern=habits.pattern,
        nfc=habits.nfc,
        whole_words=habits.whole_words,
        start=_start(value, habits.starts),
        end=end_among(added, _named_end(value, tokens), path),
    )


def _pieces(value: Any, path: Path) -> Pieces:
    tokens, scores, prefix = value("tokens") or [], value("scores"), value("add_space_prefix")
    if scores is None or value("precompiled_charsmap") or value("remove_extra_whitespaces"):
        raise UserError(f"{path} changes text, or has no scores of tokens, which is not known here")
    return scored_pieces.definition(
        tokens,
        scores,
        value("token_type") or [scored_pieces.NORMAL] * len(tokens),
        prefix=prefix is None or bool(prefix),
        start=_start(value, True),
        named_end=_named_end(value, tokens),
        path=path,
    )


def _start(value: Any, usual: bool) -> tuple[int, ...]:
    says, first = value("add_bos_token"), value("bos_token_id")
    wanted = usual if says is None else bool(says)
    return (first,) if wanted and isinstance(first, int) else ()


def _named_end(value: Any, tokens: list[str]) -> list[str]:
    last = value("eos_token_id")
    return [tokens[last]] if isinstance(last, int) else []


def _pair(merge: str) -> tuple[str, str]:
    first, _, second = merge.partition(" ")
    return first, second


def _values(path: Path) -> Any:
    try:
        import gguf
    except ImportError:
        raise UserError(f"{path} needs the package gguf: pip install -e '.[gguf]'") from None
    try:
        reader = gguf.GGUFReader(path)
    except (OSError, ValueError, IndexError, KeyError) as error:
        raise UserError(f"{path} cannot be read: {error}") from None

    def value(name: str) -> Any:
        field = reader.get_field(f"tokenizer.ggml.{name}")
        return None if field is None else field.contents()

    return value
