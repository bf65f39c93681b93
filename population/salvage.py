"""A ledger that is lost or damaged: what can be read of it goes on, and what is lost is found again.

Every trial comes out the same when it is repeated, so an outcome that is lost costs time and nothing else.
What cannot be found again is the plan of the run: it is in the first event, and in git.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from typing import Any

from genome.fault import Fault
from population.ledger import Ledger
from population.ledger_file import LedgerError, Row, write_new
from population.ledger_rows import number, read_body, read_outcome
from population.ledger_shape import fits, require_run
from population.replay import work

Settings = Mapping[str, Any]
IsPlan = Callable[[Settings], bool]

_ANEW = "begin the run again with the options that it was begun with: what is in git is taken up"


def faults(path: Path, *, plan: Settings | None, is_plan: IsPlan, tested: str | None) -> Iterator[Fault]:
    """Find what is wrong with a ledger.

    `plan` is the one kept in git; `tested` is the commit that the test split was opened for, by the notes.
    """
    if not path.exists():
        what = f"the ledger {path} is gone"
        if plan is None:
            yield Fault(what=what, remedy=_ANEW)
        else:
            remedy = "begin it again from the plan in git; --resume then repeats the trials"
            yield Fault(what=what, remedy=remedy, mend=partial(_write, path, [], plan, tested))
        return
    try:
        with Ledger.read(path) as ledger:
            require_run(ledger)
            if not is_plan(ledger.settings):
                raise LedgerError(f"{path} has settings that are no plan of a run")
    except LedgerError as error:
        what = str(error).partition(": foundry doctor")[0]
        if "schema version" in what:
            yield Fault(what=what, remedy="read it with that Foundry")
            return
        rows = [row for row in readable(path) if row.kind != "settings" or is_plan(json.loads(row.body))]
        settings = plan if plan is not None else _settings(rows)
        if settings is None:
            remedy = f"put it aside; then {_ANEW}"
            yield Fault(what=what, remedy=remedy, mend=partial(_put_aside, path))
        else:
            remedy = f"keep the {len(rows)} events that can be read; --resume finds out the rest again"
            yield Fault(what=what, remedy=remedy, mend=partial(_write, path, rows, settings, tested))


def readable(path: Path) -> list[Row]:
    """Return the events that can still be read and that a run may have written, in order."""
    rows: list[Row] = []
    seen: set[object] = set()
    for row in _rows(path):
        identity = _identity(row, path)
        if identity is not None and identity not in seen:
            seen.add(identity)
            rows.append(row)
    known = {row.key for row in rows if row.kind == "outcome"}
    return [r for r in rows if r.kind != "recalled" or json.loads(r.body)["key"] in known]


def _rows(path: Path) -> Iterator[Row]:
    """Look up one row after the other, passing over those that lie on damaged pages."""
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as database:
        last = 0
        with suppress(sqlite3.Error, UnicodeDecodeError):
            database.execute("PRAGMA writable_schema = ON")  # else a file cut short is not read at all
        for query in ("SELECT MAX(id) FROM event", "SELECT seq FROM sqlite_sequence WHERE name = 'event'"):
            with suppress(sqlite3.Error, TypeError, ValueError):
                last = max(last, min(int(database.execute(query).fetchone()[0]), path.stat().st_size))
        for identity in range(1, last + 1):
            query = "SELECT kind, key, body, outcome, at FROM event WHERE id = ?"
            with suppress(sqlite3.Error, UnicodeDecodeError):
                if found := database.execute(query, (identity,)).fetchone():
                    yield Row(*found)


def _identity(row: Row, path: Path) -> object | None:
    """Return what makes an event the same as another; None for one that no run has written."""
    if not (isinstance(row.kind, str) and isinstance(row.at, str) and isinstance(row.key, str | None)):
        return None
    try:
        body = read_body(row.body, path)
        if not fits(row.kind, body):
            return None
        if row.kind == "birth":
            return row.kind, number(row.key, path)
        if row.kind == "outcome":
            read_outcome(row.outcome, path)
            return (row.kind, *work(body)) if row.key else None
    except LedgerError:
        return None
    return (row.kind,) if row.kind == "settings" else (row.kind, row.at, row.body)


def _settings(rows: list[Row]) -> Settings | None:
    found: list[Settings] = [json.loads(row.body) for row in rows if row.kind == "settings"]
    return found[0] if found else None


def _write(path: Path, rows: list[Row], settings: Settings, tested: str | None) -> None:
    """Write a ledger of these events in place of what is there, which is kept beside."""
    own = [row for row in rows if row.kind == "settings"]
    own = own or [Row(kind="settings", key="", body=json.dumps(dict(settings), sort_keys=True))]
    others = [row for row in rows if row.kind != "settings"]
    if tested is not None and all(row.kind != "test" for row in rows):
        others.append(Row(kind="test", key=None, body=json.dumps({"commit": tested})))
    if path.exists():
        _put_aside(path)
    write_new(path, own + others)


def _put_aside(path: Path) -> None:
    """Move a ledger away, with its write-ahead log; never over another."""
    kept = path.with_name(f"{path.name}.damaged")
    count = 1
    while kept.exists():
        count += 1
        kept = path.with_name(f"{path.name}.damaged-{count}")
    for suffix in ("-wal", "-shm", ""):
        with suppress(FileNotFoundError):
            os.replace(path.with_name(path.name + suffix), kept.with_name(kept.name + suffix))
