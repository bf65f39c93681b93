"""Tokenizers and conversations for the tests."""

from __future__ import annotations

import json
from pathlib import Path

from foundry.data.byte_pairs import END_OF_TEXT, BytePairs
from foundry.data.conversations.message import Conversation, Message
from foundry.data.tokenizers.bpe import PATTERN

MARKS = (END_OF_TEXT, "<|im_start|>", "<|im_end|>", "<|begin_of_text|>", "<|eot_id|>")
HEADERS = ("<|start_header_id|>", "<|end_header_id|>")
BYTES = BytePairs(
    PATTERN, {bytes([i]): i for i in range(256)}, {m: 256 + i for i, m in enumerate((*MARKS, *HEADERS))}
)
ORDINARY = BytePairs(PATTERN, {bytes([i]): i for i in range(256)}, {END_OF_TEXT: 256})


def talk(*contents: str, system: str = "") -> Conversation:
    """Make a conversation in which user and assistant take turns."""
    roles = ("user", "assistant")
    turns = tuple(Message(roles[i % 2], content) for i, content in enumerate(contents))
    return (Message("system", system), *turns) if system else turns


def openai(conversation: Conversation) -> str:
    """Write a conversation as one line of JSON."""
    return json.dumps({"messages": [{"role": m.role, "content": m.content} for m in conversation]})


def small_file(folder: Path, n: int = 60) -> Path:
    """Write conversations of many lengths, one to three exchanges each, as JSON lines."""
    lines = []
    for i in range(n):
        exchanges = [text for k in range(1 + i % 3) for text in (f"and {i + k}?", "so " * (1 + (7 * i) % 5))]
        lines.append(openai(talk(*exchanges)))
    path = folder / "chats.jsonl"
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return path
