"""A conversation, whatever it was read from and whatever it is written as."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

ROLES = ("system", "user", "assistant")


@dataclass(frozen=True)
class Message:
    """What one side says."""

    role: str  # one of ROLES
    content: str
    input: str = ""  # what an Alpaca instruction is to be carried out on

    @property
    def text(self) -> str:
        """All of it, for formats that have no place of its own for the input."""
        return f"{self.content}\n\n{self.input}" if self.input else self.content


Conversation = tuple[Message, ...]


def message(role: object, content: object, roles: Mapping[str, str]) -> Message:
    """Make a message of two fields of a record; `roles` says what its names for roles mean.

    Raises:
        ValueError: the role is not known, or the content is not text.
    """
    if not isinstance(role, str) or role not in roles:
        raise ValueError(f"the role {role!r} is none of {', '.join(roles)}")
    if not isinstance(content, str):
        raise ValueError(f"a message of {role} has no text")
    return Message(roles[role], content)
