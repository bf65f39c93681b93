"""Merges of pairs as ranks of tokens, which tiktoken wants, such that both give the same tokens.

A list of merges joins two neighbours where that pair is in the list; tiktoken joins any two that make a token
together, the token of lowest rank first. These are the same if the rank of a token is that of the last merge
which its own characters, taken alone, come to it by. For where two neighbours in a text make a token, nothing
was joined across its ends before, so what happened between them is what happens to it alone. A token that
its own characters do not come to never arises, and gets no rank.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from foundry.data.pretrained.definition import Definition, alphabet
from foundry.errors import UserError

_BYTES = 256
_NONE = -1


@dataclass(frozen=True, eq=False)
class Ranked:
    """Bytes of tokens with their ranks, and the id that stands for each rank, -1 where none does."""

    ranks: Mapping[bytes, int]
    ids: NDArray[np.int64]


def ranked(definition: Definition) -> Ranked:
    """Give ranks to all bytes and to the tokens that the merges can make.

    Raises:
        UserError: a merge makes no token, or a word is a token in a way that ranks cannot say.
    """
    letters = alphabet()
    order = _order(definition)
    ranks = {bytes([byte]): byte for byte in range(_BYTES)}
    ids = np.full(_BYTES + len(definition.merges) + len(definition.vocab), _NONE, np.int64)
    for byte, letter in enumerate(letters):
        ids[byte] = definition.vocab.get(letter, _NONE if definition.unknown is None else definition.unknown)
    byte_of = {letter: byte for byte, letter in enumerate(letters)}
    after = _BYTES + len(definition.merges)
    for token, number in definition.vocab.items():
        if len(token) == 1:
            continue
        parts, last = _joined(token, order)
        if len(parts) > 1:
            if not definition.whole_words:
                continue
            if len(parts) == 2:  # tiktoken would join these in a longer word, too
                raise UserError(f"the tokenizer takes {token!r} as a word of its own, which no rank can say")
            last, after = after - _BYTES, after + 1
        rank = _BYTES + last
        ranks[bytes(byte_of[letter] for letter in token)] = rank
        ids[rank] = number
    return Ranked(ranks, ids)


def _order(definition: Definition) -> dict[tuple[str, str], int]:
    letters = set(alphabet())
    for token in definition.vocab:
        if strange := set(token) - letters:
            raise UserError(f"the tokenizer's token {token!r} has {min(strange)!r}, which stands for no byte")
    order: dict[tuple[str, str], int] = {}
    for place, pair in enumerate(definition.merges):
        if pair[0] + pair[1] not in definition.vocab:
            raise UserError(f"the tokenizer joins {pair[0]!r} and {pair[1]!r}, which make no token")
        order.setdefault(pair, place)
    return order


def _joined(token: str, order: Mapping[tuple[str, str], int]) -> tuple[Sequence[str], int]:
    """Join the characters of a token; return what is left, and the last merge."""
    parts, last = list(token), _NONE
    never = len(order) + 1_000_000_000
    while len(parts) > 1:
        found = [order.get(pair, never) for pair in itertools.pairwise(parts)]
        first = min(found)
        if first == never:
            break
        at, last = found.index(first), first
        parts[at : at + 2] = [parts[at] + parts[at + 1]]
    return parts, last
