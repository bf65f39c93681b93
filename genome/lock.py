"""One process writes: the lock that holds this."""

import fcntl
import os
from pathlib import Path

from genome.failures import ArenaError, writing_to


class WriterLock:
    """A lock on one arena, taken at the first write, given back by `release` or by the system at our end.

    It keeps other processes out, not the other Arena objects of this one: closing any of them on the same
    repository gives the lock back for all.
    """

    def __init__(self, state: Path):
        self._path = state / "writer.lock"
        self._handle: int | None = None

    def hold(self) -> None:
        """Take the lock unless we have it; ArenaError if another process does."""
        if self._handle is not None:
            return
        with writing_to(self._path.parent):
            self._path.parent.mkdir(exist_ok=True)
            handle = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o666)
            try:
                fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                os.close(handle)
                if not isinstance(error, BlockingIOError | PermissionError):
                    raise
                raise ArenaError(
                    f"another process is writing to the arena {self._path.parent.parent}: "
                    "wait for it or stop it, or choose another arena"
                ) from error
        self._handle = handle

    def release(self) -> None:
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None
