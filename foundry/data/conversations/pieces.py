"""A conversation as the pieces of text that a format writes, and those as token ids."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from foundry.data.byte_pairs import END_OF_TEXT
from foundry.data.tokenizer import Tokenizer

END = END_OF_TEXT  # a mark for the end of a text, whatever the tokenizer calls it


@dataclass(frozen=True)
class Piece:
    """Some text of a written conversation."""

    text: str
    reply: bool = False  # whether the assistant is to learn to write it
    mark: bool = False  # whether it is one token, where the tokenizer has such a one


def mark(text: str, reply: bool = False) -> Piece:
    """Make a piece that no text of a message can be mistaken for, where the tokenizer has a token for it."""
    return Piece(text, reply, True)


def text_of(pieces: Iterable[Piece]) -> str:
    """Return the text that the pieces make together."""
    return "".join(piece.text for piece in pieces)


def encode(
    pieces: Iterable[Piece], tokenizer: Tokenizer, *, words: bool = False
) -> tuple[NDArray[np.uint32], NDArray[np.bool_]]:
    """Turn pieces into token ids and, for each, whether it is of a reply; both (tokens,).

    What the assistant writes is cut into tokens apart from what stands before it, as it is when the model is
    asked to go on from there. A mark that the tokenizer has no token for is spelled like other text; what
    looks like a mark in a message always is. What the model expects before a text comes once, whether the
    format writes it or not.

    Args:
        words: leave marks that are tokens out of the replies.

    Raises:
        UserError: the tokenizer cannot spell some of it.
    """
    ids: list[NDArray[np.uint32]] = [np.zeros(0, np.uint32)]
    replies = [np.zeros(0, np.bool_)]
    begins = True
    special = ((piece, mark_id(piece.text, tokenizer) if piece.mark else None) for piece in pieces)
    for (reply, number), group in itertools.groupby(special, key=lambda item: (item[0].reply, item[1])):
        found = [piece for piece, _ in group]
        if number is None:
            ids.append(tokenizer.encode(text_of(found), begins=begins))
            begins = False
        else:
            ids.append(np.full(len(found), number, np.uint32))
        replies.append(np.full(len(ids[-1]), reply and not (words and number is not None)))
    start, written, learned = tokenizer.start, np.concatenate(ids), np.concatenate(replies)
    if tuple(written[: len(start)]) == start:
        return written, learned
    return np.append(np.array(start, np.uint32), written), np.append(np.zeros(len(start), np.bool_), learned)


def mark_id(text: str, tokenizer: Tokenizer) -> int | None:
    """Return the id of the token that a mark is, or None where the tokenizer has none for it."""
    special: Mapping[str, int] = getattr(tokenizer, "special_tokens", {})  # characters have none
    return tokenizer.end if special and text == END else special.get(text)
