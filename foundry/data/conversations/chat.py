"""Talking with a model that was trained on conversations: what it is asked, and where its answer ends."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from foundry.data.conversations.message import Conversation, Message
from foundry.data.conversations.pieces import encode, mark_id, text_of
from foundry.data.conversations.settings import FORMATS
from foundry.data.tokenizer import Tokenizer
from foundry.registry import load_part


class Dialogue:
    """What was said so far; ask with `prompt`, generate up to `stop`, then note what came with `reply`."""

    def __init__(self, form: str, tokenizer: Tokenizer, system: str = "") -> None:
        self._form = load_part(FORMATS, "conversation format", form)
        self._tokenizer = tokenizer
        self.messages: Conversation = (Message("system", system),) if system else ()

    @property
    def stop(self) -> int | None:
        """The token that ends an answer; None where the tokenizer spells it, then `stop_text` does."""
        return mark_id(self._form.STOP, self._tokenizer)

    @property
    def stop_text(self) -> str:
        """What ends an answer, as text."""
        stop: str = self._form.STOP
        return stop

    def prompt(self, text: str) -> NDArray[np.uint32]:
        """Say something to the assistant; return all tokens up to where its answer begins, (tokens,).

        Raises:
            UserError: the tokenizer cannot spell the text; then nothing was said.
        """
        messages = (*self.messages, Message("user", text))
        ids, _ = encode([*self._form.written(messages), *self._form.opening()], self._tokenizer)
        self.messages = messages
        return ids

    def reply(self, text: str) -> None:
        """Note the assistant's answer, without what ended it."""
        self.messages = (*self.messages, Message("assistant", text))

    def text(self) -> str:
        """Return the whole conversation as it is written for the model."""
        return text_of(self._form.written(self.messages))


class Until:
    """Passes text on to `show` as it comes, up to some text at which it is to end."""

    def __init__(self, stop: str, show: Callable[[str], None]) -> None:
        self._stop = stop
        self._show = show
        self._held = ""
        self.text = ""  # what was shown
        self.ended = False

    def push(self, text: str) -> None:
        """Take more text; hold back what may be a beginning of the end."""
        if self.ended:
            return
        self._held += text
        before, found, _ = self._held.partition(self._stop)
        self.ended = bool(found)
        keep = 0 if found else _overlap(before, self._stop)
        self._give(before[: len(before) - keep])
        self._held = before[len(before) - keep :]

    def finish(self) -> None:
        """Show what was held back, if the end never came."""
        if not self.ended:
            self._give(self._held)
            self._held = ""

    def _give(self, text: str) -> None:
        if text:
            self.text += text
            self._show(text)


def _overlap(text: str, stop: str) -> int:
    """Return how many characters at the end of a text are a beginning of `stop`."""
    longest = min(len(text), len(stop) - 1)
    return next((n for n in range(longest, 0, -1) if stop.startswith(text[-n:])), 0)
