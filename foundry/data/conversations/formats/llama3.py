"""Llama 3: headers with the role, <|eot_id|> after every message, white space around it left out.

Meta, "Llama 3 model card and prompt formats" (2024).
"""

from __future__ import annotations

from collections.abc import Iterator

from foundry.data.conversations.message import Conversation
from foundry.data.conversations.pieces import Piece, mark

STOP = "<|eot_id|>"


def written(conversation: Conversation) -> Iterator[Piece]:
    """Write a conversation; the text begins once, whatever follows."""
    yield mark("<|begin_of_text|>")
    for message in conversation:
        reply = message.role == "assistant"
        yield from _header(message.role)
        yield Piece(message.text.strip(), reply)
        yield mark(STOP, reply)


def opening() -> Iterator[Piece]:
    """Write what the assistant's next message begins with."""
    return _header("assistant")


def _header(role: str) -> Iterator[Piece]:
    yield mark("<|start_header_id|>")
    yield Piece(role)
    yield mark("<|end_header_id|>")
    yield Piece("\n\n")
