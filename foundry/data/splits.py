"""Where a text is cut into training, validation and test, in the order of the text.

Selection sees `val_search` alone; `val_confirm` is for the comparison at the end; `test` is kept for a later,
single look. The first two take turns in the validation text: two halves of it differ in difficulty by more
than most edits are worth, and what a search had claimed could not be held against what was confirmed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from foundry.data.texts import Piece

T = TypeVar("T")

_TURNS = 20  # slices of a text that two splits share


class Part(NamedTuple):
    """One part of a text: where it ends, as a share of the whole, and the splits that it serves."""

    stop: float
    names: tuple[str, ...]


class Region(NamedTuple):
    """A stretch of a text: where it ends, as a share of the whole, and who takes turns in it."""

    stop: float
    turns: tuple[tuple[str, ...], ...]  # names of splits; those named together are the same text


# in the order of the text
SCHEMES: Mapping[str, tuple[Region, ...]] = {
    "standard": (
        Region(0.80, (("train",),)),
        Region(0.90, (("val_search",), ("val_confirm",))),
        Region(1.0, (("test",),)),
    ),
    # Each split in one piece: for texts that must not be torn.
    "contiguous": (
        Region(0.80, (("train",),)),
        Region(0.85, (("val_search",),)),
        Region(0.90, (("val_confirm",),)),
        Region(1.0, (("test",),)),
    ),
    # For comparisons with published figures only: all three name nanoGPT's one validation split.
    "nanogpt": (
        Region(0.9, (("train",),)),
        Region(1.0, (("val_search", "val_confirm", "test"),)),
    ),
}


@dataclass(frozen=True, eq=False)
class Split:
    """One part of a text as token ids, (tokens,), and the bytes of UTF-8 that they spell.

    The ids have 16 bits where the vocabulary allows it, else 32; those of prepared data stay in their file.
    """

    tokens: NDArray[np.unsignedinteger]
    n_bytes: int


def names(scheme: str) -> list[str]:
    """List the splits, in the order in which the text comes to them."""
    return list(dict.fromkeys(name for part in parts(scheme) for name in part.names))


def parts(scheme: str) -> list[Part]:
    """List the parts of a text, in order; a split may have several."""
    found: list[Part] = []
    for region in SCHEMES[scheme]:
        start = found[-1].stop if found else 0.0
        slices = _TURNS if len(region.turns) > 1 else 1
        for turn in range(slices):
            stop = (start * (slices - turn - 1) + region.stop * (turn + 1)) / slices
            found.append(Part(stop, region.turns[turn % len(region.turns)]))
    return found


def ends(scheme: str, length: int) -> list[int]:
    """Return where each part of a text of so many characters ends."""
    return [int(length * part.stop) for part in parts(scheme)]


def dealt(scheme: str, items: Sequence[T]) -> dict[tuple[str, ...], list[T]]:
    """Deal out things that are not to be cut, such as conversations, to the splits that they serve."""
    found: dict[tuple[str, ...], list[T]] = {}
    start = 0
    for region in SCHEMES[scheme]:
        stop = int(len(items) * region.stop)
        for turn, names_together in enumerate(region.turns):
            found[names_together] = list(items[start:stop][turn :: len(region.turns)])
        start = stop
    return found


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
