"""A trial under way, as the server holds it: its processes, its wires, its time."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from foundry.sandbox import family
from foundry.trial import confinement
from foundry.trial.confinement import Confinement
from foundry.trial.job import Job, Limits
from foundry.trial.keeper import Keeper
from foundry.trial.outcome import Outcome, Scored, TimedOut
from foundry.trial.verdict import verdict

_LONGEST = 1 << 16  # bytes of what a trainee may say: what a pipe holds


class Running:
    """The trainee and its twin are ended together, and nothing of them is left."""

    def __init__(self, id: str, job: Job, limits: Limits, checkpoints: Path) -> None:
        self.id = id
        self.job = job
        self.limits = limits
        self.checkpoints = checkpoints
        self.started = time.monotonic()
        self.deadline = self.started + limits.seconds
        self.timed_out = False
        self.report = -1  # the examiner's lines arrive here
        self.trainee = -1
        self._twin: int | None = None
        self._heard = bytearray()
        self._temporary = confinement.folder()

    def begin(self, request: str, keeper: Keeper, confined: Confinement) -> None:
        """Start the examiner and the trainee."""
        mine, theirs = socket.socketpair()
        self._twins_wire, twins = socket.socketpair()
        self.report, report = os.pipe()
        self._said, say = os.pipe()
        for descriptor in (self.report, self._said):
            os.set_blocking(descriptor, False)
        keeper.examine(request, theirs, twins, report)
        for part in (theirs, twins):
            part.close()
        os.close(report)
        self.trainee = self._fork(confined, [mine.fileno(), say], lambda seal: self._train(mine, say, seal))
        mine.close()
        os.close(say)

    def hear(self, confined: Confinement) -> bool:
        """Take in what the examiner says; start a twin if it wants one. False when it will say no more."""
        try:
            received = os.read(self.report, _LONGEST)
        except BlockingIOError:
            return True
        self._heard += received
        if self._twin is None and b'"twin"' in self._heard:
            wire = self._twins_wire
            self._twin = self._fork(confined, [wire.fileno()], lambda _: self._answer(wire))
        return bool(received)

    def end(self) -> None:
        """Kill whatever is left of its processes."""
        family.end(self.trainee)
        if self._twin is not None:
            family.end(self._twin)

    def outcome(self, status: int) -> Outcome:
        """Say what became of it, after the trainee was reaped with `status`; nothing is left then."""
        if self._twin is not None:
            family.end(self._twin)
            os.waitpid(self._twin, 0)
        with contextlib.suppress(BlockingIOError):
            while received := os.read(self.report, _LONGEST):
                self._heard += received
        said = b""
        with contextlib.suppress(BlockingIOError):
            said = os.read(self._said, _LONGEST)
        for descriptor in (self.report, self._said):
            os.close(descriptor)
        self._twins_wire.close()
        confinement.remove(self._temporary)
        if self.timed_out:
            return TimedOut(seconds=self.limits.seconds)
        found = verdict(_last(self._heard), said, status, time.monotonic() - self.started)
        if isinstance(found, Scored) and found.function and not found.recalled:
            from foundry.trial import functions

            functions.remember(self.checkpoints, self.job, found)
        return found

    def _fork(self, confined: Confinement, keep: list[int], do: Callable[[Callable[[], None]], None]) -> int:
        """Start a confined process that does one thing."""
        trains = self.trainee == -1
        pid = family.fork_apart()
        if pid:
            return pid
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            seal = confined.enter(
                self.job,
                self.limits,
                checkpoints=self.checkpoints,
                temporary=self._temporary,
                trains=trains,
                keep=keep,
            )
            do(seal)
        finally:
            os._exit(1)  # never back into the server's own loop

    def _train(self, wire: socket.socket, say: int, seal: Callable[[], None]) -> None:
        from foundry.trial.trial import run

        os.write(say, run(self.job, self.checkpoints, self._temporary, wire, seal).encode("utf-8"))

    def _answer(self, wire: socket.socket) -> None:
        from foundry.trial.trial import answer_as_twin

        answer_as_twin(self.job, self.checkpoints, self._temporary, wire)


def _last(heard: bytearray) -> dict[str, Any]:
    """Read the examiner's last word, if there is one besides the wish for a twin."""
    lines = [json.loads(line) for line in heard.split(b"\n")[:-1]]
    words = [line for line in lines if "twin" not in line]
    return words[-1] if words else {}
