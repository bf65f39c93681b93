"""Records as ShareGPT has them: {"conversations": [{"from": "human", "value": "..."}, ...]}."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from foundry.data.conversations.message import Conversation, message

KEY = "conversations"
_ROLES = {"system": "system", "human": "user", "gpt": "assistant"}


def conversation(record: Mapping[str, Any]) -> Conversation:
    """Read one record.

    Raises:
        ValueError: it is not of this kind, with the reason.
    """
    turns = record[KEY]
    if not isinstance(turns, list) or not all(isinstance(turn, dict) for turn in turns):
        raise ValueError(f"`{KEY}` is not a list of messages")
    return tuple(message(turn.get("from"), turn.get("value"), _ROLES) for turn in turns)
