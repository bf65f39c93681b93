"""Conversations from a file of JSON lines, or of one JSON array; a bad record is known by its line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from foundry.data.conversations.message import Conversation
from foundry.errors import UserError
from foundry.registry import load_part, module_names

RECORDS = "foundry/data/conversations/records"
_SHOWN = 5  # bad records that are named one by one


@dataclass(frozen=True)
class Bad:
    """A record that cannot be used."""

    line: int  # where it begins, the first is 1
    reason: str


@dataclass(frozen=True)
class Read:
    """What a file holds."""

    conversations: tuple[Conversation, ...]
    bad: tuple[Bad, ...]  # left out

    def notes(self, name: str) -> tuple[str, ...]:
        """Say which records were left out and why, at most a few one by one."""
        notes = [f"{name}, line {bad.line}, is left out: {bad.reason}" for bad in self.bad[:_SHOWN]]
        more = len(self.bad) - _SHOWN
        return (*notes, *([f"{name}: {more} more records are left out"] if more > 0 else []))


def read(path: Path, *, skip: bool) -> Read:
    """Read all conversations of a file; bad records are left out if `skip` says so.

    The first character says whether it is an array, `[`, or lines.

    Raises:
        UserError: the file cannot be read, or a record is bad and not to be skipped, or an array is broken.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise UserError(f"data file {str(path)!r} does not exist") from None
    except UnicodeDecodeError as error:
        raise UserError(f"data file {str(path)!r} is not UTF-8 text (byte {error.start})") from None
    except OSError as error:
        raise UserError(f"data file {str(path)!r} cannot be read: {error.strerror}") from None
    records = _array(text, path) if text.lstrip().startswith("[") else _lines(text)
    conversations, bad = [], []
    for line, record in records:
        try:
            conversations.append(conversation(record))
        except ValueError as error:
            if not skip:
                raise UserError(f"data file {str(path)!r}, line {line}: {error}") from None
            bad.append(Bad(line, str(error)))
    return Read(tuple(conversations), tuple(bad))


def conversation(record: object) -> Conversation:
    """Turn a record, or the ValueError that came in its place, into a conversation that can be learned from.

    Raises:
        ValueError: it cannot, with the reason.
    """
    if isinstance(record, ValueError):
        raise record
    kinds = {part.KEY: part for part in (load_part(RECORDS, "record", n) for n in module_names(RECORDS))}
    keys = [key for key in kinds if isinstance(record, dict) and key in record]
    if len(keys) != 1:
        raise ValueError(f"it needs one of the fields {', '.join(kinds)}, and has {len(keys)} of them")
    found: Conversation = kinds[keys[0]].conversation(record)
    if not any(message.role == "assistant" and message.content.strip() for message in found):
        raise ValueError("the assistant says nothing in it")
    for message in found:
        try:
            message.text.encode("utf-8")
        except UnicodeEncodeError:  # JSON can spell half a surrogate pair
            raise ValueError(f"a message of {message.role} holds half a character") from None
    return found


def _lines(text: str) -> Iterator[tuple[int, object]]:
    """Yield each line that is not blank, with its number; what is not JSON as the error that says so."""
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            try:
                yield number, json.loads(line)
            except (ValueError, RecursionError):
                yield number, ValueError("it is not JSON")


def _array(text: str, path: Path) -> Iterator[tuple[int, object]]:
    """Yield the members of an array with the lines where they begin."""
    decoder = json.JSONDecoder()
    at, line, closed = text.index("[") + 1, text.count("\n", 0, text.index("[")) + 1, "]"
    while True:
        start = _after_space(text, at)
        line += text.count("\n", at, start)
        if text[start : start + 1] == "]" and closed:
            return
        try:
            record, at = decoder.raw_decode(text, start)
            end = _after_space(text, at)
            if text[end : end + 1] not in (",", "]"):
                raise ValueError
        except (ValueError, RecursionError):
            raise UserError(
                f"data file {str(path)!r}, line {line}: the array is not JSON from here on"
            ) from None
        yield line, record
        line += text.count("\n", start, end)
        if text[end] == "]":
            return
        at, closed = end + 1, ""


def _after_space(text: str, at: int) -> int:
    while text[at : at + 1] in (" ", "\t", "\r", "\n"):
        at += 1
    return at
