"""Text from tokens as they come."""

from __future__ import annotations

from collections.abc import Callable, Iterable

_UNFINISHED = "\N{REPLACEMENT CHARACTER}"  # how a part of a character is decoded


class TextStream:
    """Gives out text as soon as it can no longer change: a token may end within a character."""

    def __init__(self, decode: Callable[[Iterable[int]], str]) -> None:
        self._decode = decode
        self._held: list[int] = []
        self._shown = 0  # characters of these

    def push(self, token: int) -> str:
        """Take one token; return the text that is now certain."""
        self._held.append(token)
        text = self._decode(self._held)
        certain = text.rstrip(_UNFINISHED)
        fresh = certain[self._shown :]
        self._shown = len(certain)
        if certain == text:
            self._held, self._shown = [], 0
        return fresh

    def finish(self) -> str:
        """Return what is left, with marks where characters are incomplete."""
        return self._decode(self._held)[self._shown :]
