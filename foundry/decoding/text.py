"""Text from tokens as they come."""

from __future__ import annotations

from collections.abc import Callable, Iterable

_UNFINISHED = "\N{REPLACEMENT CHARACTER}"  # how a part of a character is decoded


class TextStream:
    """Gives out text as soon as it can no longer change: a token may end within a character.

    A token may also be written in another way where it is the first, without its space, say. So each is read
    after the one before it, and the first one after the token `after` of a text that is shown already.
    """

    def __init__(self, decode: Callable[[Iterable[int]], str], after: int | None = None) -> None:
        self._decode = decode
        self._held: list[int] = [] if after is None else [after]
        self._shown = len(decode(self._held))  # characters of these

    def push(self, token: int) -> str:
        """Take one token; return the text that is now certain."""
        self._held.append(token)
        text = self._decode(self._held)
        certain = text.rstrip(_UNFINISHED)
        fresh = certain[self._shown :]
        self._shown = max(self._shown, len(certain))  # what stands before may be unfinished by itself
        if certain == text:
            self._held = [token]
            self._shown = len(self._decode(self._held))
        return fresh

    def finish(self) -> str:
        """Return what is left, with marks where characters are incomplete."""
        return self._decode(self._held)[self._shown :]
