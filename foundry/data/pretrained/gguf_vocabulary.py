"""The tokenizer inside a GGUF file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from foundry.data.pretrained import patterns
from foundry.data.pretrained.definition import Definition, end_among
from foundry.errors import UserError

_CONTROL, _USER_DEFINED, _UNUSED = 3, 4, 5  # kinds of tokens, as the format numbers them


def read(path: Path) -> Definition:
    """Read it.

    Raises:
        UserError: there is none, or it is not of byte pairs that are known here.
    """
    value = _values(path)
    kind = value("model")
    if kind != "gpt2":
        raise UserError(
            f"{path} has a tokenizer of type {kind}, and only byte-level pairs (gpt2) are known here"
        )
    try:
        habits = patterns.named(str(value("pre")))
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    tokens, merges = value("tokens") or [], value("merges") or []
    kinds = value("token_type") or [1] * len(tokens)
    added = {token: i for i, token in enumerate(tokens) if kinds[i] in (_CONTROL, _USER_DEFINED)}
    last = value("eos_token_id")
    return Definition(
        vocab={token: i for i, token in enumerate(tokens) if token not in added and kinds[i] != _UNUSED},
        merges=[_pair(merge) for merge in merges],
        added=added,
        pattern=habits.pattern,
        nfc=habits.nfc,
        whole_words=habits.whole_words,
        end=end_among(added, [tokens[last]] if isinstance(last, int) else [], path),
    )


def _pair(merge: str) -> tuple[str, str]:
    first, _, second = merge.partition(" ")
    return first, second


def _values(path: Path) -> Any:
    try:
        import gguf
    except ImportError:
        raise UserError(f"{path} needs the package gguf: pip install 'foundry-evolve[gguf]'") from None
    try:
        reader = gguf.GGUFReader(path)
    except (OSError, ValueError, IndexError, KeyError) as error:
        raise UserError(f"{path} cannot be read: {error}") from None

    def value(name: str) -> Any:
        field = reader.get_field(f"tokenizer.ggml.{name}")
        return None if field is None else field.contents()

    return value
