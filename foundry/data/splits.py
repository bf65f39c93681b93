"""Where a text is cut into training, validation and test: contiguous parts, in the order of the text.

Selection sees `val_search` alone; `val_confirm` is for the comparison at the end; `test` is kept for a later,
single look.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from foundry.data.texts import Piece

# name of the scheme -> split -> from and to, as parts of the whole text
SCHEMES: Mapping[str, Mapping[str, tuple[float, float]]] = {
    "standard": {
        "train": (0.0, 0.80),
        "val_search": (0.80, 0.85),
        "val_confirm": (0.85, 0.90),
        "test": (0.90, 1.0),
    },
    # For comparisons with published figures only: all three name nanoGPT's one validation split.
    "nanogpt": {
        "train": (0.0, 0.9),
        "val_search": (0.9, 1.0),
        "val_confirm": (0.9, 1.0),
        "test": (0.9, 1.0),
    },
}


@dataclass(frozen=True, eq=False)
class Split:
    """One part of a text as token ids, (tokens,), and the bytes of UTF-8 that they spell.

    The ids have 16 bits where the vocabulary allows it, else 32; those of prepared data stay in their file.
    """

    tokens: NDArray[np.unsignedinteger]
    n_bytes: int


def parts(scheme: str) -> dict[tuple[float, float], list[str]]:
    """Return the parts that a scheme cuts a text into, in order, each with the splits that it serves."""
    found: dict[tuple[float, float], list[str]] = {}
    for name, share in SCHEMES[scheme].items():
        found.setdefault(share, []).append(name)
    return found


def ends(scheme: str, length: int) -> list[int]:
    """Return where each part of a text of so many characters ends."""
    return [int(length * stop) for _, stop in parts(scheme)]


def cut(pieces: Iterable[Piece], stops: Sequence[int]) -> Iterator[tuple[int, Piece]]:
    """Number the pieces of a text by the part in which they lie, cutting those that lie in two."""
    part = at = 0
    for text, ends_document in pieces:
        size = len(text) + ends_document
        while at + size > stops[part]:
            head = stops[part] - at
            yield part, (text[:head], False)
            text, size, at, part = text[head:], size - head, stops[part], part + 1
        yield part, (text, ends_document)
        at += size
