"""A text on its way to token ids: read, cut into parts, selected for training, encoded; never held whole."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from foundry.data import splits
from foundry.data.characters import Characters
from foundry.data.selection import select
from foundry.data.settings import Data
from foundry.data.texts import CHUNK, Piece, Text, open_text
from foundry.data.tokenizer import Tokenizer
from foundry.errors import UserError

SHORTEST = 1000  # characters


@dataclass(frozen=True)
class Scan:
    """What one reading of a text tells."""

    sha256: str  # of its bytes; in a collection 0xff, which UTF-8 never has, ends each document
    characters: int
    alphabet: str  # its characters, sorted


@dataclass(frozen=True)
class Corpus:
    """A text, and how an experiment wants it cut and selected."""

    text: Text
    scan: Scan
    data: Data

    @classmethod
    def of(cls, name: str, data: Data) -> Corpus:
        """Read a text once.

        Raises:
            UserError: it does not exist, or is not text.
        """
        text = open_text(name)
        return cls(text, scan(text), data)

    def require_length(self) -> None:
        """Check that the text can be split and trained on.

        Raises:
            UserError: it is too short.
        """
        if self.scan.characters < SHORTEST:
            raise UserError(
                f"data {self.text.name!r} has {self.scan.characters} characters: "
                "too short to split and train on"
            )

    def parts(self) -> Iterator[tuple[tuple[str, ...], Iterator[Piece]]]:
        """Read the parts of the text in order, each before the next, with the splits that it serves.

        Some parts serve the same ones: together they are those splits.

        The first is for training. Only that one is filtered and rid of duplicates: validation is the same
        whatever is trained on.
        """
        parts = splits.parts(self.data.split)
        stops = splits.ends(self.data.split, self.scan.characters)
        numbered = splits.cut(self.text.read(), stops)
        for part, group in itertools.groupby(numbered, key=lambda item: item[0]):
            whole = (piece for _, piece in group)
            chosen = select(whole, self.data, documents=self.text.collection) if part == 0 else whole
            yield parts[part].names, chosen

    def identity(self, tokenizer: Tokenizer) -> str:
        """Hash all that the tokens of the splits depend on.

        That is the hash of the text itself where all is as it is by default: split `standard`, by the text's
        own characters, nothing selected.
        """
        data = self.data
        usual = (data.split, data.filters, data.dedupe) == ("standard", (), "none")
        if usual and tokenizer.sha256 == Characters(self.scan.alphabet).sha256:
            return self.scan.sha256
        parts = [self.scan.sha256, tokenizer.sha256, data.split, list(data.filters), data.dedupe]
        return hashlib.sha256(json.dumps(parts).encode("utf-8")).hexdigest()

    def training(self) -> Iterator[Piece]:
        """Read the part that is for training."""
        for _, pieces in self.parts():
            return pieces
        return iter(())


def scan(text: Text) -> Scan:
    """Read all of a text once.

    Raises:
        UserError: it is not text.
    """
    digest = hashlib.sha256()
    characters = 0
    alphabet: set[str] = set()
    for piece, ends in text.read():
        digest.update(piece.encode("utf-8") + b"\xff" * ends)
        characters += len(piece) + ends
        alphabet |= set(piece)
    alphabet |= {"\n"} if text.collection else set()
    return Scan(digest.hexdigest(), characters, "".join(sorted(alphabet)))


def encoded(pieces: Iterable[Piece], tokenizer: Tokenizer) -> Iterator[tuple[NDArray[np.uint32], int]]:
    """Encode a part of a text, chunk by chunk: token ids, and how many bytes they spell.

    The tokens do not depend on the size of the pieces.
    """
    begins = True
    for text, ends in rejoined(pieces, tokenizer.cut):
        tokens, begins = tokenizer.encode(text, begins=begins), ends
        if ends:
            tokens = np.append(tokens, np.uint32(tokenizer.end))
        yield tokens, len(text.encode("utf-8")) + ends


def rejoined(pieces: Iterable[Piece], cut: Callable[[str], int]) -> Iterator[Piece]:
    """Join pieces and cut them anew, where `cut` allows: nowhere within what is one token."""
    held: list[str] = []
    size, enough = 0, CHUNK
    for text, ends in pieces:
        held.append(text)
        size += len(text)
        if not ends and size < enough:
            continue
        joined = "".join(held)
        place = size if ends else cut(joined)
        yield joined[:place], ends
        held, size = [joined[place:]], size - place
        enough = max(CHUNK, 2 * size)  # where nothing could be cut, do not try again too soon
    yield "".join(held), False
