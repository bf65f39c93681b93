"""Texts by name or path, read piece by piece, so that they may be larger than memory.

A text is one UTF-8 file, or a collection of documents: a folder of files, each a document, or a `.jsonl` file
with the `text` of one document a line.
"""

from __future__ import annotations

import codecs
import json
import lzma
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from foundry.errors import UserError, unknown

NAMES = ("shakespeare_char",)
MANIFEST = "manifest.json"  # what a folder of prepared data has and a folder of documents has not
TRAIN = "train.bin"  # the first file that is written there
CHUNK = 1 << 20  # bytes read, or characters encoded, at a time

Piece = tuple[str, bool]  # some text, and whether a document ends after it


@dataclass(frozen=True)
class Text:
    """A text that can be read again and again; the end of a document counts as one character and one byte."""

    name: str
    collection: bool  # of documents
    read: Callable[[], Iterator[Piece]]


def open_text(name: str) -> Text:
    """Find a shipped text or a file or folder; reading it may raise UserError too.

    Raises:
        UserError: there is no such text.
    """
    if name in NAMES:
        return Text(name, False, _shipped)
    path = Path(name)
    if is_prepared(name):
        raise UserError(f"data {name!r} is prepared already: a text is needed here")
    if Path(name, TRAIN).exists():
        raise UserError(f"data folder {name!r} is not whole, it has no {MANIFEST}: prepare it again")
    if path.is_dir():
        return Text(name, True, lambda: _folder(path))
    if not path.exists():
        if path.suffix or len(path.parts) > 1:
            raise UserError(f"data file {name!r} does not exist")
        raise unknown("data set", name, NAMES)
    if path.suffix == ".jsonl":
        return Text(name, True, lambda: _json_lines(path))
    return Text(name, False, lambda: _file(path))


def is_prepared(name: str) -> bool:
    """Say whether this is a folder that `foundry data prepare` made."""
    return Path(name, MANIFEST).is_file()


def read_text(name: str) -> str:
    """Return a whole text; after each document of a collection comes a newline.

    Raises:
        UserError: there is no such text, or it is not UTF-8.
    """
    return "".join(text + "\n" * ends for text, ends in open_text(name).read())


def _shipped() -> Iterator[Piece]:
    packed = resources.files("foundry").joinpath("data/corpus/shakespeare.txt.xz").read_bytes()
    yield lzma.decompress(packed).decode("utf-8"), False


def _file(path: Path) -> Iterator[Piece]:
    decoder = codecs.getincrementaldecoder("utf-8")()
    done = 0  # bytes that are characters by now
    try:
        with path.open("rb") as file:
            while chunk := file.read(CHUNK):
                yield decoder.decode(chunk), False
                done = file.tell() - len(decoder.getstate()[0])
            decoder.decode(b"", final=True)
    except UnicodeDecodeError as error:
        at = done + error.start
        raise UserError(f"data file {str(path)!r} is not UTF-8 text (byte {at})") from None
    except OSError as error:
        raise UserError(f"data file {str(path)!r} cannot be read: {error.strerror}") from None


def _json_lines(path: Path) -> Iterator[Piece]:
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    yield _document(line, f"data file {str(path)!r}, line {number}"), True
    except OSError as error:
        raise UserError(f"data file {str(path)!r} cannot be read: {error.strerror}") from None


def _document(line: bytes, where: str) -> str:
    try:
        body = json.loads(line)
    except ValueError:
        raise UserError(f"{where}, is not JSON") from None
    text = body.get("text") if isinstance(body, dict) else None
    if not isinstance(text, str):
        raise UserError(f"{where}, has no field `text` that holds text")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:  # JSON can spell half a surrogate pair
        raise UserError(f"{where}, is not text: half a character at {error.start}") from None
    return text


def _folder(folder: Path) -> Iterator[Piece]:
    """Read the files below a folder in the order of their paths, hidden ones left out."""
    found = [path for path in folder.rglob("*") if path.is_file()]
    parts = sorted(path.relative_to(folder).parts for path in found)
    shown = [folder.joinpath(*names) for names in parts if not any(name.startswith(".") for name in names)]
    if not shown:
        raise UserError(f"data folder {str(folder)!r} holds no files")
    for path in shown:
        if path.suffix == ".jsonl":
            yield from _json_lines(path)
        else:
            yield from _file(path)
            yield "", True
