"""A forkserver with torch preloaded: one process group per trial, killed whole when it ends or overruns.

Speaks JSON lines over an inherited socket. In: `{"id", "job", "limits", "checkpoints"}`. Out: `{"id", "pid"}`
when a trial begins and `{"id", "outcome"}` when it has ended. Ends, with every trial, when the driver goes
away.

Covered: wall clock, memory, core dumps, and death of driver or server (on Linux). Not covered: files, network
and children that leave the process group; sandboxes are the business of a later layer.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import resource
import selectors
import signal
import socket
import sys
import time
import warnings
from dataclasses import dataclass
from pathlib import Path

from foundry.trial.job import Job, Limits, decode
from foundry.trial.outcome import Crashed, Outcome, TimedOut, encode
from foundry.trial.outcome import decode as decode_outcome

_PR_SET_PDEATHSIG = 1


@dataclass
class _Child:
    id: str
    pid: int
    pipe: int
    ends: float
    limits: Limits
    timed_out: bool = False


def preload(experiment: str | None) -> None:
    """Import all that a trial needs and read the data of an experiment, so that a fork finds it in memory."""
    import torch
    import torch._dynamo  # the first AdamW would import it
    import torch.utils.flop_counter

    import foundry.trial.trial  # noqa: F401
    from foundry.data import dataset
    from foundry.registry import load_part, module_names
    from foundry.training.experiment import parse

    for kind in ("optimizer", "schedule"):
        for name in module_names(f"foundry/training/{kind}s"):
            load_part(f"foundry/training/{kind}s", kind, name)
    torch.set_num_threads(1)
    with contextlib.suppress(RuntimeError):
        torch.set_num_interop_threads(1)
    if experiment is not None:
        dataset.load(parse(experiment).data).batches()
    if not torch.accelerator.is_available():  # whose autograd threads no fork would survive
        _rehearse()


def _rehearse() -> None:
    """Pass a small model through the gates, so that no trial pays for what torch does only once."""
    from foundry import gates
    from foundry.seed import read_model

    sizes = {"n_layer": 1, "n_head": 2, "n_embd": 32, "block_size": 16, "vocab_size": 32}
    assert gates.check(gates.Subject(source=read_model("v1"), model_args=sizes, batch_size=2)) is None


class Server:
    """Starts a forked child per request, watches the clock, and reports how each ended."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.lines = bytearray()
        self.children: list[_Child] = []
        self.selector = selectors.DefaultSelector()
        self.selector.register(connection, selectors.EVENT_READ)
        self.deaths, wakeup = os.pipe()  # a byte arrives here when a child has died
        for descriptor in (self.deaths, wakeup):
            os.set_blocking(descriptor, False)
        signal.set_wakeup_fd(wakeup, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self.selector.register(self.deaths, selectors.EVENT_READ)

    def serve(self) -> None:
        """Run until the driver closes the connection."""
        try:
            while True:
                for key, _ in self.selector.select(self._patience()):
                    if key.fileobj is self.connection:
                        if not self._receive():
                            return
                    else:
                        os.read(self.deaths, 1 << 12)
                self._kill_late()
                self._reap()
        finally:
            for child in self.children:
                _kill_group(child.pid)

    def _patience(self) -> float | None:
        ends = [child.ends for child in self.children if not child.timed_out]
        return max(0.0, min(ends) - time.monotonic()) if ends else None

    def _receive(self) -> bool:
        try:
            received = self.connection.recv(1 << 20)
        except ConnectionError:
            return False
        self.lines += received
        while (end := self.lines.find(b"\n")) >= 0:
            line = self.lines[:end].decode("utf-8")
            del self.lines[: end + 1]
            self._start(line)
        return bool(received)

    def _start(self, line: str) -> None:
        job, limits, checkpoints = decode(line)
        reader, writer = os.pipe()
        parent = os.getpid()
        pid = os.fork()
        if pid == 0:
            try:
                _child(job, limits, checkpoints, writer, parent)
            finally:
                os._exit(1)  # never back into the server's own loop
        os.close(writer)
        os.set_blocking(reader, False)
        with contextlib.suppress(OSError):  # the child does so too: whoever comes first
            os.setpgid(pid, pid)
        name = json.loads(line)["id"]
        self.children.append(_Child(name, pid, reader, time.monotonic() + limits.seconds, limits))
        self._send({"id": name, "pid": pid})

    def _kill_late(self) -> None:
        for child in self.children:
            if not child.timed_out and time.monotonic() >= child.ends:
                child.timed_out = True
                _kill_group(child.pid)

    def _reap(self) -> None:
        for child in list(self.children):
            pid, status = os.waitpid(child.pid, os.WNOHANG)
            if pid:
                _kill_group(child.pid)  # whatever it left behind
                self.children.remove(child)
                self._send({"id": child.id, "outcome": json.loads(encode(_outcome(child, status)))})
                os.close(child.pipe)

    def _send(self, message: dict[str, object]) -> None:
        with contextlib.suppress(ConnectionError):
            self.connection.sendall(json.dumps(message).encode("utf-8") + b"\n")


def _outcome(child: _Child, status: int) -> Outcome:
    if child.timed_out:
        return TimedOut(seconds=child.limits.seconds)
    try:
        return decode_outcome(os.read(child.pipe, 1 << 16).decode("utf-8"))
    except (ValueError, BlockingIOError):
        code = os.waitstatus_to_exitcode(status)
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with status {code}"
        return Crashed(reason=f"the trial's process {how}")


def _child(job: Job, limits: Limits, checkpoints: Path, writer: int, parent: int) -> None:
    """Run one trial in the forked process and write its outcome."""
    os.setpgid(0, 0)
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _limit(resource.RLIMIT_DATA, limits.memory)
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nothing, descriptor)
    os.closerange(3, writer)
    os.closerange(writer + 1, 256)
    from foundry.trial.trial import run

    outcome = encode(run(job, checkpoints))
    os.write(writer, outcome.encode("utf-8"))


def _limit(kind: int, amount: int) -> None:
    hard = resource.getrlimit(kind)[1]
    amount = amount if hard == resource.RLIM_INFINITY else min(amount, hard)
    resource.setrlimit(kind, (amount, amount))


def _kill_group(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def main(argv: list[str]) -> int:
    """Serve on the inherited socket whose descriptor is the first argument."""
    warnings.filterwarnings("ignore")
    with socket.socket(fileno=int(argv[0])) as connection:
        preload(argv[1] if argv[1:] else None)
        Server(connection).serve()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
