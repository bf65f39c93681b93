"""The SQLite file under a ledger: its schema, how it comes to be, the lock of its one driver."""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import IO, NamedTuple

_APPLICATION = 0x464F554E  # "FOUN": tells a ledger from any other SQLite file
_SCHEMA_VERSION = 4

# `at` is for people who read the record; nothing decides by it
_SCHEMA = f"""
PRAGMA application_id = {_APPLICATION};
PRAGMA user_version = {_SCHEMA_VERSION};
CREATE TABLE event (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
    kind TEXT NOT NULL,
    key TEXT,
    body TEXT NOT NULL,
    outcome TEXT
);
CREATE UNIQUE INDEX event_kind_key ON event (kind, key) WHERE key IS NOT NULL;
CREATE INDEX event_kind ON event (kind, id);
CREATE TRIGGER event_stays BEFORE UPDATE ON event BEGIN SELECT RAISE(ABORT, 'a ledger only grows'); END;
CREATE TRIGGER event_remains BEFORE DELETE ON event BEGIN SELECT RAISE(ABORT, 'a ledger only grows'); END;
"""


DOCTOR = "foundry doctor --repair mends what can be mended"


class Row(NamedTuple):
    """An event as the table holds it; without `at` it happens now."""

    kind: str
    key: str | None
    body: str
    outcome: str | None = None
    at: str | None = None


class LedgerError(ValueError):
    """Say in one sentence what is wrong with a ledger."""


@contextmanager
def sentences(path: Path) -> Iterator[None]:
    """Turn what SQLite raises into a LedgerError that names the file."""
    try:
        yield
    except sqlite3.OperationalError as error:
        if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL:
            raise LedgerError(
                f"no space is left on the disk that holds {path}: free some, then go on"
            ) from error
        raise LedgerError(f"{path} cannot be used: {error}") from error
    except (sqlite3.DatabaseError, UnicodeDecodeError) as error:  # of names in a damaged schema
        raise LedgerError(f"{path} is not a ledger, or is damaged ({error}): {DOCTOR}") from error


def require(path: Path) -> None:
    """Raise LedgerError when there is no file."""
    if not path.is_file():
        raise LedgerError(f"there is no ledger at {path}: foundry doctor says what can be done")


def take_lock(path: Path) -> IO[str]:
    """Take the driver's lock, which the system releases when the process ends, however it ends."""
    try:
        lock = open(_beside(path, ".lock"), "a+", encoding="ascii")  # noqa: SIM115
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        with lock:
            lock.seek(0)
            holder = lock.read() or "unknown"
        raise LedgerError(f"{path} is in use by another run (process {holder}): stop that first") from error
    except OSError as error:
        raise LedgerError(f"{path} cannot be used: {error.strerror}") from error
    lock.truncate(0)
    lock.write(str(os.getpid()))
    lock.flush()
    return lock


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def write_new(path: Path, rows: Iterable[Row]) -> None:
    """Build a ledger in memory and move it into place, so that no crash leaves half of one."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as database:
        database.executescript(_SCHEMA)
        for row in rows:
            given = {name: value for name, value in row._asdict().items() if value is not None}
            marks = ", ".join("?" * len(given))
            database.execute(
                f"INSERT INTO event ({', '.join(given)}) VALUES ({marks})", tuple(given.values())
            )
        image = database.serialize()
    draft = _beside(path, ".new")
    try:
        for leftover in (
            "-wal",
            "-shm",
        ):  # of a ledger that was removed: SQLite would replay it into this one
            _beside(path, leftover).unlink(missing_ok=True)
        with open(draft, "wb") as file:
            file.write(image)
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, path)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise LedgerError(f"{path} cannot be written: {error.strerror}") from error


def connect(path: Path, *, write: bool) -> sqlite3.Connection:
    """Open and examine the file; a reader gets one snapshot, taken here."""
    mode = "rw" if write else "ro"
    with sentences(path):
        database = sqlite3.connect(f"{path.absolute().as_uri()}?mode={mode}", uri=True, isolation_level=None)
    try:
        with sentences(path):
            database.execute("PRAGMA busy_timeout = 10000")
            if not write:
                database.execute("BEGIN")
            _examine(path, database)
            if write:
                database.execute("PRAGMA journal_mode = WAL")
                database.execute("PRAGMA synchronous = NORMAL")
    except BaseException:
        database.close()
        raise
    return database


def _examine(path: Path, database: sqlite3.Connection) -> None:
    (application,) = database.execute("PRAGMA application_id").fetchone()
    (version,) = database.execute("PRAGMA user_version").fetchone()
    if application != _APPLICATION:
        raise LedgerError(f"{path} is not a ledger: {DOCTOR}")
    if version != _SCHEMA_VERSION:
        raise LedgerError(
            f"{path} has schema version {version}, and this Foundry reads version {_SCHEMA_VERSION}: "
            "use the Foundry that wrote it"
        )
    (verdict,) = database.execute("PRAGMA quick_check(1)").fetchone()
    if verdict != "ok":
        raise LedgerError(f"{path} is damaged ({' '.join(verdict.split())}): {DOCTOR}")
