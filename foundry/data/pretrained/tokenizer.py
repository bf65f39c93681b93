"""The tokenizer of a pretrained model."""

from __future__ import annotations

import functools
import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from foundry.data.pretrained.tokenizer_json import FILE

KIND = "pretrained"


class Defined(Protocol):
    """What a tokenizer is determined by."""

    @property
    def vocab(self) -> Mapping[str, int]:
        """Tokens that text is made of, and their ids."""

    @property
    def added(self) -> Mapping[str, int]:
        """Special tokens."""

    @property
    def start(self) -> tuple[int, ...]:
        """The special tokens before a text."""

    @property
    def end(self) -> int:
        """The special token after a text."""

    def as_json(self) -> dict[str, Any]:
        """Return the content of a tokenizer.json."""


@dataclass(frozen=True, eq=False)
class Pretrained(ABC):
    """Gives the ids that a model was trained with."""

    definition: Defined = field(repr=False)

    @property
    def vocab_size(self) -> int:
        """One more than the largest id, special tokens included."""
        return len(self.spelled)

    @property
    def special_tokens(self) -> Mapping[str, int]:
        """The tokens that no text is turned into."""
        return self.definition.added

    @property
    def start(self) -> tuple[int, ...]:
        """The tokens before a text."""
        return self.definition.start

    @property
    def end(self) -> int:
        """The token after a text."""
        return self.definition.end

    @property
    @abstractmethod
    def sha256(self) -> str:
        """The hash of all that ids depend on, the same whichever file it was read from."""

    @abstractmethod
    def encode(self, text: str, *, begins: bool = True) -> NDArray[np.uint32]:
        """Turn text into ids, (tokens,); what looks like a special token is text like any other."""

    @abstractmethod
    def cut(self, text: str) -> int:
        """Return the last place between two words; 0 where there is none that is known to be one."""

    @abstractmethod
    def spelled_text(self) -> Iterable[tuple[int, bytes]]:
        """List the ids that text is made of, with their bytes."""

    def decode(self, ids: Iterable[int]) -> str:
        """Turn ids into text, with U+FFFD for bytes that are no UTF-8.

        A model may have more ids than its tokenizer; those stand for nothing.
        """
        known = self.spelled
        return b"".join(known[i] for i in ids if i < len(known)).decode("utf-8", errors="replace")

    @functools.cached_property
    def spelled(self) -> list[bytes]:
        """What each id is written as, special tokens by their names."""
        found = dict(self.spelled_text())
        found |= {number: name.encode("utf-8") for name, number in self.definition.added.items()}
        size = max(*self.definition.vocab.values(), *found) + 1
        return [found.get(number, b"") for number in range(size)]

    def spelling(self) -> list[bytes]:
        """Return the bytes of each id; nothing for special tokens, but a newline for the end of a text."""
        spelled = list(self.spelled)
        for number in self.definition.added.values():
            spelled[number] = b""
        spelled[self.end] = b"\n"
        return spelled

    def require(self, alphabet: str, source: str) -> None:  # noqa: B027  (it is the same for all)
        """Accept every text, see `encode`."""

    def save(self, folder: Path) -> dict[str, object]:
        """Write tokenizer.json, for ourselves and for Hugging Face."""
        text = json.dumps(self.definition.as_json(), ensure_ascii=False) + "\n"
        (folder / FILE).write_text(text, "utf-8")
        return {"kind": KIND, "file_sha256": hashlib.sha256(text.encode("utf-8")).hexdigest()}
