"""A trial under way, as the server holds it: its processes, its wires, its time."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import shutil
import signal
import socket
import stat
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from foundry.errors import UserError
from foundry.sandbox import family
from foundry.training import experiment
from foundry.trial import confinement
from foundry.trial.confinement import Confinement
from foundry.trial.job import ANSWERERS, RUNG, Job, Limits
from foundry.trial.keeper import Keeper
from foundry.trial.outcome import Outcome, Scored, TimedOut
from foundry.trial.verdict import verdict

_LONGEST = 1 << 16  # bytes of what a trainee may say: what a pipe holds


class Running:
    """The trainee and the one or two processes that answer with its weights; nothing of them is left."""

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
        self.status: int | None = None  # how the trainee has ended
        self._silent = False  # whether the examiner has ended
        self._answering: list[int] = []
        self._heard = bytearray()
        self._temporary = confinement.folder()

    def begin(self, request: str, keeper: Keeper, confined: Confinement) -> None:
        """Start the examiner and the trainee."""
        (mine, *self._wires), theirs = zip(*(socket.socketpair() for _ in range(3)), strict=True)
        self.report, report = os.pipe()
        self._said, say = os.pipe()
        for descriptor in (self.report, self._said):
            os.set_blocking(descriptor, False)
        keeper.examine(request, theirs, report)
        with contextlib.suppress(UserError):  # whoever needs it is told
            experiment.parse(self.job.experiment)  # for all that are forked from here
        for part in theirs:
            part.close()
        os.close(report)
        part = functools.partial(self._train, mine, say)
        self.trainee = self._fork(confined, [mine.fileno(), say], part, trains=True)
        mine.close()
        os.close(say)

    def hear(self, confined: Confinement) -> bool:
        """Take in what the examiner says; start who answers if it wants that. False when it has ended."""
        try:
            received = os.read(self.report, _LONGEST)
        except BlockingIOError:
            return True
        self._heard += received
        self._silent = not received or bool(_last(self._heard))  # after its last word it takes time to end
        if self.timed_out:
            return not self._silent
        # Each is forked from here and executes the source for itself. One that did so for both, and then
        # forked the other, would save a twentieth of a second and spoil the audit: a pipe that the source
        # opens at its import survives a fork, and through it the two could agree on what to say.
        while len(self._answering) < _answerers(self._heard):
            family.end(self.trainee)  # all that counts it has said
            with self._wires.pop(0) as wire:  # theirs alone: the examiner must see it close
                part = functools.partial(self._answer, wire)
                self._answering.append(self._fork(confined, [wire.fileno()], part, trains=False))
        return not self._silent

    @property
    def over(self) -> bool:
        """Whether there is nothing more to wait for."""
        return self.status is not None and (self._silent or self.timed_out)

    def end(self) -> None:
        """Kill whatever is left of its processes."""
        for pid in (self.trainee, *self._answering):
            family.end(pid)

    def outcome(self) -> Outcome:
        """Say what became of it, when it is over; nothing is left then."""
        assert self.status is not None
        for pid in self._answering:
            family.end(pid)
        for pid in self._answering:
            family.wait(pid)
        for wire in self._wires:
            wire.close()
        said = b""
        with contextlib.suppress(BlockingIOError):
            said = os.read(self._said, _LONGEST)
        for descriptor in (self.report, self._said):
            os.close(descriptor)
        try:
            return self._judged(said, self.status)
        finally:
            confinement.remove(self._temporary)

    def _judged(self, said: bytes, status: int) -> Outcome:
        if self.timed_out:
            return TimedOut(seconds=self.limits.seconds)
        report = _last(self._heard)
        steps = report.pop("steps", 0)
        found = verdict(report, said, status, time.monotonic() - self.started)
        if isinstance(found, Scored) and not found.recalled:
            self._keep(steps)
        return found

    def _keep(self, steps: int) -> None:
        """Keep the weights to go on from, if there are any, as the only file that a trial leaves."""
        left, own = self._temporary / RUNG, self.checkpoints / self.job.training_key
        partial = own / f"{steps}.{self.trainee}.partial"
        # a full disk costs the next rung time, not the candidate its score
        with contextlib.suppress(OSError):
            if stat.S_ISREG(left.lstat().st_mode):
                own.mkdir(parents=True, exist_ok=True)
                shutil.move(left, partial)
                partial.replace(own / f"{steps}.safetensors")

    def _fork(self, confined: Confinement, keep: list[int], do: Callable[[], None], *, trains: bool) -> int:
        """Start a confined process that does one thing."""
        pid = family.fork_apart()
        if pid:
            return pid
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            confined.enter(
                self.job,
                self.limits,
                checkpoints=self.checkpoints,
                temporary=self._temporary,
                trains=trains,
                keep=keep,
            )
            do()
        finally:
            os._exit(1)  # never back into the server's own loop

    def _train(self, wire: socket.socket, say: int) -> None:
        from foundry.trial.trial import run

        run(self.job, self.checkpoints, self._temporary, wire, lambda text: _write(say, text))

    def _answer(self, wire: socket.socket) -> None:
        from foundry.trial.trial import answer

        answer(self.job, self.checkpoints, self._temporary, wire)


def _write(say: int, text: str) -> None:
    os.write(say, text.encode("utf-8"))


def _lines(heard: bytearray) -> list[dict[str, Any]]:
    return [json.loads(line) for line in heard.split(b"\n")[:-1]]


def _answerers(heard: bytearray) -> int:
    """Read how many processes the examiner wants that answer with the weights."""
    return sum(line.get(ANSWERERS, 0) for line in _lines(heard))


def _last(heard: bytearray) -> dict[str, Any]:
    """Read the examiner's last word, if there is one besides the wish for answers."""
    words = [line for line in _lines(heard) if ANSWERERS not in line]
    return words[-1] if words else {}
