"""Records as OpenAI's API has them: {"messages": [{"role": "user", "content": "..."}, ...]}."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from foundry.data.conversations.message import ROLES, Conversation, message

KEY = "messages"
_ROLES = {role: role for role in ROLES}


def conversation(record: Mapping[str, Any]) -> Conversation:
    """Read one record.

    Raises:
        ValueError: it is not of this kind, with the reason.
    """
    turns = record[KEY]
    if not isinstance(turns, list) or not all(isinstance(turn, dict) for turn in turns):
        raise ValueError(f"`{KEY}` is not a list of messages")
    return tuple(message(turn.get("role"), turn.get("content"), _ROLES) for turn in turns)
