"""What the events of a run must say, for a search to be continued from them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from population.ledger import Ledger
from population.ledger_file import DOCTOR, LedgerError
from population.replay import work

Test = Callable[[Any], bool]


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _text(value: Any) -> bool:
    return isinstance(value, str)


def _commit(value: Any) -> bool:
    return isinstance(value, str) and re.fullmatch(r"[0-9a-f]{40}", value) is not None


def _perhaps(test: Test) -> Test:
    return lambda value: value is None or test(value)


def _numbers(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(number, int | float) for number in value.values())


_WORK: Mapping[str, Test] = {
    "number": _whole,
    "rung": _whole,
    "seed": _whole,
    "split": _text,
    "index": _whole,
}
_SHAPES: Mapping[str, Mapping[str, Test]] = {
    "birth": {
        "commit": _perhaps(_commit),
        "program": _perhaps(_text),
        "operators": lambda value: isinstance(value, list) and all(map(_text, value)),
        "numbers": _numbers,
    },
    "outcome": _WORK,
    "recalled": {**_WORK, "key": _text},
    "closed": {"orders": _whole, "allowance": _whole},
    "extended": {"generations": _whole},
    "test": {"commit": _commit},
    "champion": {"name": _text, "commit": _commit},
}


def fits(kind: str, body: Mapping[str, Any]) -> bool:
    """Say whether the body of an event has what this program writes there; other kinds may say anything."""
    return all(name in body and test(body[name]) for name, test in _SHAPES.get(kind, {}).items())


def require_run(ledger: Ledger) -> None:
    """Read every event that a search is continued from.

    Raises:
        LedgerError: one of them cannot have been written by a run.
    """
    ledger.active_seconds()  # looks at every row
    outcomes = ledger.outcomes()
    bodies = [("birth", body) for body in ledger.births().values()]
    bodies += [("outcome", body) for _, body, _ in outcomes]
    for kind in _SHAPES.keys() - {"birth", "outcome"}:
        bodies += [(kind, body) for body in ledger.events(kind)]
    for kind, body in bodies:
        if not fits(kind, body):
            raise LedgerError(f"{ledger.path} has an event {kind!r} that no run has written: {DOCTOR}")
    known = {key for key, _, _ in outcomes}
    if lost := [body["key"] for body in ledger.events("recalled") if body["key"] not in known]:
        raise LedgerError(f"{ledger.path} has lost the outcome {lost[0][:12]}: {DOCTOR}")
    trials = [work(body) for _, body, _ in outcomes]
    if len(set(trials)) < len(trials):
        raise LedgerError(f"{ledger.path} has two outcomes of one trial: {DOCTOR}")
