"""An output that may go away (`| head`, a terminal that hangs up) without taking the run with it."""

from __future__ import annotations

import os
from typing import IO, Any


class Outlet:
    """Pass text on to a stream; once that fails, swallow what comes, and let later writers swallow it too."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except OSError:
            self._abandon()
        return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError:
            self._abandon()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def _abandon(self) -> None:
        """Point the descriptor at nothing: what Python still buffers would fail again when it exits."""
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, self._stream.fileno())
        os.close(nothing)
