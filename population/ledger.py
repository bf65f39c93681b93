"""The record of a run: every event, appended to one SQLite table and never changed.

An event is on disk when the call that records it returns: `kill -9` loses nothing that was acknowledged. (A
power cut may lose the last moments, as WAL with synchronous=NORMAL does.) One driver writes at a time;
readers such as `foundry board` come and go meanwhile.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from foundry.trial.outcome import Outcome, encode
from population.ledger_file import DOCTOR, LedgerError, Row, connect, require, sentences, take_lock, write_new
from population.ledger_rows import number, read_body, read_outcome

__all__ = ["Ledger", "LedgerError"]

_OWN_KINDS = frozenset({"settings", "birth", "outcome"})


class Ledger:
    """Record the events of a run and read them back in order.

    Made by `create`, `open` or `read`; a context manager. Every method raises LedgerError when the disk is
    full or the file damaged. Belongs to the thread that opened it.
    """

    def __init__(self, path: Path, database: sqlite3.Connection, lock: IO[str] | None) -> None:
        self.path = path
        self._database = database
        self._lock = lock

    @classmethod
    def create(cls, path: str | Path, settings: Mapping[str, Any]) -> Ledger:
        """Start the ledger of a new run with its settings.

        It appears whole or not at all. Raises LedgerError when there is one already.
        """
        path = Path(path)
        lock = take_lock(path)
        try:
            if path.exists():
                raise LedgerError(f"{path} exists already: resume its run, or choose another arena")
            write_new(path, [Row(kind="settings", key="", body=_json(settings))])
            return cls(path, connect(path, write=True), lock)
        except BaseException:
            lock.close()
            raise

    @classmethod
    def open(cls, path: str | Path) -> Ledger:
        """Go on with a ledger, as the one driver that writes it.

        Raises LedgerError when it is missing, damaged, of another version, or held by another live driver.
        """
        path = Path(path)
        require(path)
        lock = take_lock(path)
        try:
            return cls(path, connect(path, write=True), lock)
        except BaseException:
            lock.close()
            raise

    @classmethod
    def read(cls, path: str | Path) -> Ledger:
        """Open what a ledger holds at this moment, without a lock and without the right to write.

        Later events of a running driver are not seen; read again for them. Raises LedgerError as `open` does.
        """
        path = Path(path)
        require(path)
        return cls(path, connect(path, write=False), None)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file and of its lock; harmless when done twice."""
        self._database.close()
        if self._lock is not None:
            self._lock.close()

    @property
    def settings(self) -> dict[str, Any]:
        """What the run was started with."""
        bodies = self._bodies("settings")
        if not bodies:
            raise LedgerError(f"{self.path} has lost its settings: {DOCTOR}")
        return bodies[0]

    def __len__(self) -> int:
        """Count the events."""
        return int(self._select("SELECT COUNT(*) FROM event")[0][0])

    def record_birth(self, number: int, body: Mapping[str, Any]) -> bool:
        """Record the birth of a candidate; False, and nothing changed, when that number is known."""
        return self._append("birth", str(number), _json(body), None)

    def births(self) -> dict[int, dict[str, Any]]:
        """Return every birth by its number, in the order of recording."""
        rows = self._select("SELECT key, body FROM event WHERE kind = 'birth' ORDER BY id")
        return {number(key, self.path): read_body(body, self.path) for key, body in rows}

    def record_outcome(self, key: str, body: Mapping[str, Any], outcome: Outcome) -> bool:
        """Record what became of the trial with this key; False, and nothing changed, when it is known."""
        return self._append("outcome", key, _json(body), encode(outcome))

    def outcome(self, key: str) -> Outcome | None:
        """Return what became of the trial with this key, None when it has no outcome yet."""
        rows = self._select("SELECT outcome FROM event WHERE kind = 'outcome' AND key = ?", key)
        return read_outcome(rows[0][0], self.path) if rows else None

    def outcomes(self) -> list[tuple[str, dict[str, Any], Outcome]]:
        """Return (key, body, outcome) of every trial that ended, in the order of recording."""
        rows = self._select("SELECT key, body, outcome FROM event WHERE kind = 'outcome' ORDER BY id")
        return [
            (key, read_body(body, self.path), read_outcome(outcome, self.path)) for key, body, outcome in rows
        ]

    def seconds(self) -> float:
        """Return the time from the first event to the last, pauses included; nothing is decided by it."""
        query = "SELECT (julianday(MAX(at)) - julianday(MIN(at))) * 86400 FROM event"
        return float(self._select(query)[0][0])

    def active_seconds(self) -> float:
        """Return how long drivers have worked: from each "driver" event to the last event before the next.

        A clock that was set back takes nothing away.
        """
        rows = self._select("SELECT kind, (julianday(at) - 2460000) * 86400 FROM event ORDER BY id")
        total, last = 0.0, None
        for kind, at in rows:
            if kind != "driver" and last is not None and at is not None:
                total += max(0.0, at - last)
            if kind == "driver" or last is not None:
                last = at if at is not None else last
        return total

    def record(self, kind: str, body: Mapping[str, Any]) -> None:
        """Record an event of any other kind: "confirmed", "champion", "stopped" ..."""
        assert kind not in _OWN_KINDS, kind
        self._append(kind, None, _json(body), None)

    def events(self, kind: str) -> list[dict[str, Any]]:
        """Return the bodies of all events that `record` wrote under this kind, in order."""
        assert kind not in _OWN_KINDS, kind
        return self._bodies(kind)

    def _bodies(self, kind: str) -> list[dict[str, Any]]:
        rows = self._select("SELECT body FROM event WHERE kind = ? ORDER BY id", kind)
        return [read_body(body, self.path) for (body,) in rows]

    def _append(self, kind: str, key: str | None, body: str, outcome: str | None) -> bool:
        assert self._lock is not None, "opened for reading"
        statement = "INSERT INTO event (kind, key, body, outcome) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING"
        with sentences(self.path):
            return self._database.execute(statement, (kind, key, body, outcome)).rowcount == 1

    def _select(self, query: str, *values: str) -> list[tuple[Any, ...]]:
        with sentences(self.path):
            return self._database.execute(query, values).fetchall()


def _json(body: Mapping[str, Any]) -> str:
    return json.dumps(dict(body), sort_keys=True)
