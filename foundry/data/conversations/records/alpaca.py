"""Records as Alpaca has them: {"instruction": "...", "input": "...", "output": "..."}, the input optional."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from foundry.data.conversations.message import Conversation, Message

KEY = "instruction"


def conversation(record: Mapping[str, Any]) -> Conversation:
    """Read one record.

    Raises:
        ValueError: it is not of this kind, with the reason.
    """
    texts = {KEY: record[KEY], "input": record.get("input") or "", "output": record.get("output")}
    for name, value in texts.items():
        if not isinstance(value, str):
            raise ValueError(f"`{name}` is not text")
    instruction, given, output = texts.values()
    return Message("user", instruction, given), Message("assistant", output)
