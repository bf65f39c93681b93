"""ChatML: every message between <|im_start|> with its role and <|im_end|>."""

from __future__ import annotations

from collections.abc import Iterator

from foundry.data.conversations.message import Conversation
from foundry.data.conversations.pieces import Piece, mark

STOP = "<|im_end|>"


def written(conversation: Conversation) -> Iterator[Piece]:
    """Write a conversation."""
    for message in conversation:
        reply = message.role == "assistant"
        yield from _header(message.role)
        yield Piece(message.text, reply)
        yield mark(STOP, reply)
        yield Piece("\n")


def opening() -> Iterator[Piece]:
    """Write what the assistant's next message begins with."""
    return _header("assistant")


def _header(role: str) -> Iterator[Piece]:
    yield mark("<|im_start|>")
    yield Piece(f"{role}\n")
