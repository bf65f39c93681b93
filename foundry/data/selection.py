"""Which parts of the training text are trained on: filters and the removal of duplicates.

A unit is kept or left out whole: a document of a collection, or a paragraph of a single text, which ends with
a blank line.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from foundry.data.texts import CHUNK, Piece
from foundry.errors import UserError
from foundry.registry import load_part

if TYPE_CHECKING:
    from foundry.data.settings import Data

FILTERS = "foundry/data/filters"
DEDUPES = "foundry/data/dedupes"

_BLANK = re.compile(r"\n(?:[ \t\r]*\n)+(?=[ \t\r]*\S)")  # all of it: what follows has been read


def parse_filter(text: str) -> tuple[str, float]:
    """Read a filter and its threshold, NAME=VALUE.

    Raises:
        UserError: not of that form, or no such filter.
    """
    name, _, value = text.partition("=")
    load_part(FILTERS, "filter", name)
    try:
        threshold = float(value)
    except ValueError:
        threshold = math.nan
    if not math.isfinite(threshold):
        raise UserError(f"filter {text!r} is not of the form {name}=NUMBER")
    return name, threshold


def select(pieces: Iterable[Piece], data: Data, *, documents: bool) -> Iterator[Piece]:
    """Leave out of a text the units that a filter of `data` refuses, or that are there already."""
    if not data.filters and data.dedupe == "none":
        return iter(pieces)
    chosen = (_document_units if documents else paragraphs)(pieces)
    for name, threshold in map(parse_filter, data.filters):
        chosen = filter(_passes(load_part(FILTERS, "filter", name).keep, threshold), chosen)
    is_new: Callable[[str], bool] = load_part(DEDUPES, "dedupe", data.dedupe).build()
    return ((unit, documents) for unit in chosen if is_new(unit.strip()))


def _passes(keep: Callable[[str, float], bool], threshold: float) -> Callable[[str], bool]:
    return lambda unit: keep(unit.strip(), threshold)


def _document_units(pieces: Iterable[Piece]) -> Iterator[str]:
    held: list[str] = []
    for text, ends in pieces:
        held.append(text)
        if ends:
            yield "".join(held)
            held = []
    if any(held):  # cut off by the end of the part
        yield "".join(held)


def paragraphs(pieces: Iterable[Piece]) -> Iterator[str]:
    """Cut a text behind its blank lines; joined, the paragraphs are the text again.

    A paragraph of more than CHUNK characters comes in several.
    """
    rest = ""
    for text, _ in pieces:
        rest += text
        start = 0
        for blank in _BLANK.finditer(rest):
            yield from _short(rest[start : blank.end()])
            start = blank.end()
        *full, rest = _short(rest[start:]) or [""]
        yield from full
    if rest:
        yield rest


def _short(paragraph: str) -> list[str]:
    return [paragraph[i : i + CHUNK] for i in range(0, len(paragraph), CHUNK)]
