"""Read what stands in the rows of a ledger; what this program cannot have written is a LedgerError."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

from foundry.trial.outcome import Outcome, decode
from population.ledger_file import DOCTOR, LedgerError

_TYPES: dict[object, tuple[type, ...]] = {
    "int": (int,),
    "float": (int, float),
    "str": (str,),
    "bool": (bool,),
}


def read_body(text: object, path: Path) -> dict[str, Any]:
    """Read the body of an event."""
    try:
        body = json.loads(text) if isinstance(text, str) else None
    except (ValueError, RecursionError):
        body = None
    if not isinstance(body, dict):
        raise _unreadable(text, path)
    return body


def read_outcome(text: object, path: Path) -> Outcome:
    """Read an outcome, its fields of the types that they are declared to have."""
    try:
        outcome = decode(text) if isinstance(text, str) else None
    except (ValueError, TypeError, RecursionError):
        outcome = None
    if outcome is None or not all(
        _is_a(getattr(outcome, field.name), field.type) for field in fields(outcome)
    ):
        raise _unreadable(text, path)
    return outcome


def number(key: object, path: Path) -> int:
    """Read the number of a birth."""
    if not (isinstance(key, str) and key.isdecimal() and key.isascii()):
        raise _unreadable(key, path)
    return int(key)


def _is_a(value: object, declared: object) -> bool:
    expected = _TYPES.get(declared)
    if expected is None:
        return True
    return isinstance(value, expected) and (bool in expected or not isinstance(value, bool))


def _unreadable(text: object, path: Path) -> LedgerError:
    return LedgerError(f"{path} has an event that cannot be read ({str(text)[:40]!r}): {DOCTOR}")
