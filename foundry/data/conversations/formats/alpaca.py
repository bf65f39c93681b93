"""Alpaca: a preamble, then sections for instruction, input and response.

Taori et al., "Stanford Alpaca" (2023). Alpaca has one exchange only; here, each further one adds its
sections, and a system message stands in the place of the preamble. A response ends with the end of the text.
"""

from __future__ import annotations

from collections.abc import Iterator

from foundry.data.conversations.message import Conversation
from foundry.data.conversations.pieces import END, Piece, mark

STOP = END

_WITH_INPUT = (
    "Below is an instruction that describes a task, paired with an input that provides further context. "
    "Write a response that appropriately completes the request."
)
_WITHOUT_INPUT = (
    "Below is an instruction that describes a task. "
    "Write a response that appropriately completes the request."
)


def written(conversation: Conversation) -> Iterator[Piece]:
    """Write a conversation."""
    if conversation[0].role != "system":
        yield Piece(_WITH_INPUT if conversation[0].input else _WITHOUT_INPUT)
    for message in conversation:
        if message.role == "assistant":
            yield from opening()
            yield Piece(message.text, True)
            yield mark(STOP, True)
        elif message.role == "user":
            yield Piece(f"\n\n### Instruction:\n{message.content}")
            yield Piece(f"\n\n### Input:\n{message.input}" if message.input else "")
        else:
            yield Piece(message.text)


def opening() -> Iterator[Piece]:
    """Write what the assistant's next message begins with."""
    yield Piece("\n\n### Response:\n")
