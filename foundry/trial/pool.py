"""The local pool: trials side by side in processes of their own. Free of torch: the driver holds it."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from foundry.errors import UserError
from foundry.sandbox import bubblewrap, environment, level
from foundry.trial.job import SCRATCH, Job, Limits, encode
from foundry.trial.outcome import Crashed, Outcome, decode

_DOUBTFUL = re.compile(
    r"was killed by SIGKILL$|^(ClosedError|ConnectionResetError|BrokenPipeError|EOFError)\b|"
    r"ended without an answer$"
)


class PoolError(RuntimeError):
    """The server that forks the trials will not stay up."""


# By default glibc gives the memory of activations back to the kernel and takes it again batch by batch until
# it has seen larger ones: a tenth of the time of a process that is forked to answer. Pages of 2 MiB, where
# the kernel has them, make half of what a fork and an end take, and scoring faster by a fortieth.
MEMORY = {
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
    "MALLOC_MMAP_THRESHOLD_": str(32 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(512 << 20),
    "MALLOC_TOP_PAD_": str(16 << 20),
}


@dataclass
class _Running:
    job: Job
    pid: int | None = None
    again: bool = False  # it was killed, perhaps not by its own doing, and has a second chance


class Pool:
    """Runs up to `workers` trials at once and says how each ended.

    One pool at a time has a folder of checkpoints. The server that forks them is started at once and imports
    torch while the driver goes on. Should it die, its trials die with it and are started again: a trial may
    be repeated harmlessly.
    """

    def __init__(
        self,
        workers: int,
        *,
        checkpoints: Path,
        limits: Limits | None = None,
        preload: str | None = None,
        sandbox: str = "auto",
    ) -> None:
        self.workers = workers
        self.sandbox = level.choose(sandbox)
        self._checkpoints = checkpoints
        self._limits = limits or Limits()
        self._preload = [] if preload is None else [preload]
        self._running: dict[str, _Running] = {}
        self._lines = bytearray()
        self._deaths_in_a_row = 0
        self._complaints = tempfile.TemporaryFile()  # noqa: SIM115 - closed by close()
        self._scratch = checkpoints.absolute() / SCRATCH
        shutil.rmtree(self._scratch, ignore_errors=True)  # of a driver that was killed
        self._scratch.mkdir(parents=True)
        self._launch()

    @property
    def free(self) -> int:
        """How many more trials may start now."""
        return self.workers - len(self._running)

    @property
    def server_pid(self) -> int:
        """The process that forks the trials."""
        return self._server.pid

    def start(self, name: str, job: Job) -> None:
        """Begin a trial; `name` comes back with its outcome."""
        assert self.free > 0
        assert name not in self._running
        self._running[name] = _Running(job)
        self._request(name)

    def finished(self, timeout: float) -> Iterator[tuple[str, Outcome]]:
        """Wait up to `timeout` seconds for news and yield each trial that has ended.

        Raises:
            UserError: one could not be carried out for want of space on the disk.
        """
        for message in self._messages(timeout):
            name = message["id"]
            if "outcome" not in message:
                self._running[name].pid = message["pid"]
                continue
            self._deaths_in_a_row = 0
            outcome = decode(json.dumps(message["outcome"]))
            if _is_doubtful(outcome) and not self._running[name].again:
                self._running[name].again = True
                self._request(name)
                continue
            if self._is_out_of_space(outcome):
                raise UserError(
                    f"no space is left on the disk that holds {self._checkpoints}: free some, then go on"
                )
            del self._running[name]
            yield name, outcome

    def close(self) -> None:
        """End the server and with it every trial."""
        self._connection.close()
        self._kill_trials()
        try:
            self._server.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._server.kill()
            self._server.wait()
        _kill_group(self._server.pid)
        self._complaints.close()
        shutil.rmtree(self._scratch, ignore_errors=True)

    def __enter__(self) -> Pool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _is_out_of_space(self, outcome: Outcome) -> bool:
        """Say whether a trial failed for want of space, and not only by its own word."""
        if not (isinstance(outcome, Crashed) and os.strerror(errno.ENOSPC) in outcome.reason):
            return False
        return shutil.disk_usage(self._scratch).free < self._limits.memory

    def _launch(self) -> None:
        self._connection, theirs = socket.socketpair()
        server = [sys.executable, "-P", "-m", "foundry.trial.server", str(theirs.fileno()), self.sandbox]
        command = [*server, *self._preload]
        if self.sandbox == "bwrap":
            command = bubblewrap.around(command, writable=[self._checkpoints, self._scratch])
        with theirs:
            self._server = subprocess.Popen(
                command,
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=self._complaints,
                env=_environment(self._scratch),
                start_new_session=True,  # Ctrl-C is the driver's alone
            )
        self._lines.clear()

    def _request(self, name: str) -> None:
        line = encode(name, self._running[name].job, self._limits, self._checkpoints)
        with contextlib.suppress(ConnectionError):  # a dead server is noticed where answers are read
            self._connection.sendall(line.encode("utf-8") + b"\n")

    def _messages(self, timeout: float) -> Iterator[dict[str, Any]]:
        with selectors.DefaultSelector() as selector:
            selector.register(self._connection, selectors.EVENT_READ)
            silent = not selector.select(timeout)
        if silent:
            # bwrap that is killed while it sets itself up leaves a child that waits for it for ever, and that
            # holds the other end
            if self._server.poll() is not None:
                self._relaunch()
            return
        try:
            received = self._connection.recv(1 << 20)
        except ConnectionError:
            received = b""
        if not received:
            self._relaunch()
            return
        self._lines += received
        *whole, rest = self._lines.split(b"\n")
        self._lines = bytearray(rest)
        yield from (json.loads(line) for line in whole)

    def _relaunch(self) -> None:
        self._deaths_in_a_row += 1
        if self._deaths_in_a_row > 3:
            self._complaints.seek(0)
            last = self._complaints.read().decode(errors="replace").strip().splitlines()[-1:] or [
                "no message"
            ]
            raise PoolError(f"the trial server died four times in a row: {last[0]}")
        self._connection.close()
        self._server.wait()
        self._kill_trials()
        _kill_group(self._server.pid)
        time.sleep(self._deaths_in_a_row - 1)
        self._launch()
        for name in self._running:
            self._request(name)

    def _kill_trials(self) -> None:
        for running in self._running.values():
            if running.pid is not None:
                _kill_group(running.pid)
                running.pid = None


def _kill_group(pid: int) -> None:
    """Kill what is left of the group of processes that one has begun, if there is any."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def _is_doubtful(outcome: Outcome) -> bool:
    """Say whether a trial may have died by a hand from outside: where it is to blame, it dies so twice."""
    return isinstance(outcome, Crashed) and _DOUBTFUL.search(outcome.reason) is not None


def _environment(scratch: Path) -> dict[str, str]:
    """One thread a trial; memory that is kept when freed; this very foundry, wherever the user stands and
    whatever lies there; no secrets.
    """
    here = str(Path(__file__).parents[2])
    path = os.pathsep.join([here, *filter(None, [os.environ.get("PYTHONPATH")])])
    scrubbed = environment.scrubbed(os.environ)
    tunables = ":".join(filter(None, [scrubbed.get("GLIBC_TUNABLES"), MEMORY["GLIBC_TUNABLES"]]))
    threads = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
    own = {"GLIBC_TUNABLES": tunables, "PYTHONPATH": path, "TMPDIR": str(scratch)}
    return {**scrubbed, **threads, **MEMORY, **own}
