"""Characters as tokens."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from foundry.errors import UserError

KIND = "characters"
_AT_ONCE = 1 << 16  # characters


@dataclass(frozen=True)
class Characters:
    """A tokenizer whose ids are places in a sorted string of characters."""

    vocabulary: str

    @property
    def vocab_size(self) -> int:
        """How many characters there are."""
        return len(self.vocabulary)

    @property
    def start(self) -> tuple[int, ...]:
        """Nothing."""
        return ()

    @property
    def end(self) -> int:
        """The newline."""
        return self.vocabulary.index("\n")

    @property
    def sha256(self) -> str:
        """The hash of the vocabulary."""
        return hashlib.sha256(self.vocabulary.encode("utf-8")).hexdigest()

    def encode(self, text: str, *, begins: bool = True) -> NDArray[np.uint32]:
        """Turn characters into ids, (len(text),).

        Raises:
            UserError: the vocabulary lacks a character.
        """
        known = np.frombuffer(self.vocabulary.encode("utf-32-le"), dtype="<u4")
        ids = np.empty(len(text), np.uint32)
        for start in range(0, len(text), _AT_ONCE):  # at 28 bytes a character, the heap of a short text stays
            part = text[start : start + _AT_ONCE]
            points = np.frombuffer(part.encode("utf-32-le", "surrogatepass"), dtype="<u4")
            found = np.minimum(np.searchsorted(known, points), len(known) - 1)
            wrong = np.flatnonzero(known[found] != points)
            if len(wrong):
                at = start + int(wrong[0])
                raise UserError(
                    f"character {text[at]!r} at position {at} is outside the vocabulary of the data"
                )
            ids[start : start + len(part)] = found
        return ids

    def decode(self, ids: Iterable[int]) -> str:
        """Turn ids into text."""
        return "".join(self.vocabulary[i] for i in ids)

    def spelling(self) -> list[bytes]:
        """Return each character in UTF-8."""
        return [character.encode("utf-8") for character in self.vocabulary]

    def cut(self, text: str) -> int:
        """Allow a cut anywhere: return the text's length."""
        return len(text)

    def require(self, alphabet: str, source: str) -> None:
        """Check that the vocabulary has these characters.

        Raises:
            UserError: it lacks one.
        """
        if strange := sorted(set(alphabet) - set(self.vocabulary)):
            raise UserError(f"{source}: character {strange[0]!r} is outside the vocabulary")

    def save(self, folder: Path) -> dict[str, object]:
        """Return the vocabulary: a manifest has room for it."""
        return {"kind": KIND, "vocabulary": self.vocabulary}
