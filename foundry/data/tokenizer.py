"""What every tokenizer can do. Free of torch, like all that a driver reads."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class Tokenizer(Protocol):
    """Turns text into token ids and back."""

    @property
    def vocab_size(self) -> int:
        """One more than the largest token id."""
        ...

    @property
    def start(self) -> tuple[int, ...]:
        """The tokens that a model expects before a text: one, or none."""
        ...

    @property
    def end(self) -> int:
        """The token after each document of a collection."""
        ...

    @property
    def sha256(self) -> str:
        """The same for two tokenizers that give the same tokens for every text, else different."""
        ...

    def encode(self, text: str, *, begins: bool = True) -> NDArray[np.uint32]:
        """Turn text into token ids, (tokens,).

        Args:
            begins: whether a text begins here, which some tokenizers put a space before.

        Raises:
            UserError: the text cannot be spelled.
        """
        ...

    def decode(self, ids: Iterable[int]) -> str:
        """Turn token ids into text."""
        ...

    def spelling(self) -> list[bytes]:
        """Return the bytes that each token id stands for; one newline for the end of a document."""
        ...

    def cut(self, text: str) -> int:
        """Return the last place where `text` can be cut and encoded in two without changing its tokens.

        The second part begins no text. What follows `text` must not matter. 0 means that there is no such
        place.
        """
        ...

    def require(self, alphabet: str, source: str) -> None:
        """Check that text of these characters can be spelled; `source` names the text.

        Raises:
            UserError: it cannot.
        """
        ...

    def save(self, folder: Path) -> dict[str, object]:
        """Write what is too long for a manifest into the folder; return the rest, as JSON's own types."""
        ...


def whole(text: str, tokenizer: Tokenizer) -> NDArray[np.uint32]:
    """Turn a text into ids, (tokens,), with what comes before it.

    Raises:
        UserError: the text cannot be spelled.
    """
    return np.concatenate([np.array(tokenizer.start, np.uint32), tokenizer.encode(text)])


def width(vocab_size: int) -> np.dtype[np.unsignedinteger]:
    """Return the smallest type that holds every token id, little-endian."""
    return np.dtype("<u2" if vocab_size <= 1 << 16 else "<u4")
