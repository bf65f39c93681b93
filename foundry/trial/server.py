"""A forkserver with torch preloaded: for each trial confined processes and an examiner, ended whole.

Speaks JSON lines over an inherited socket. In: `{"id", "job", "limits", "checkpoints"}`. Out: `{"id", "pid"}`
when a trial begins and `{"id", "outcome"}` when it has ended. Ends, with every trial, when the driver goes
away.

The trainee gates and trains (trial.py); the examiner holds the data and computes the score
(examiner.py); it asks a process that has nothing but the weights, and for a thorough audit a second one
(audit.py). What they say is put together in verdict.py.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import selectors
import signal
import socket
import sys
import time
import warnings

from foundry.sandbox import confine, family
from foundry.trial.confinement import Confinement
from foundry.trial.job import decode
from foundry.trial.keeper import Keeper
from foundry.trial.outcome import encode
from foundry.trial.running import Running


def preload() -> None:
    """Import all that a trial needs, so that a fork finds it in memory."""
    import torch
    import torch._dynamo  # the first AdamW would import it
    import torch.utils.flop_counter

    import foundry.trial.examiner
    import foundry.trial.trial  # noqa: F401
    from foundry.registry import load_part, module_names

    for kind in ("optimizer", "schedule"):
        for name in module_names(f"foundry/training/{kind}s"):
            load_part(f"foundry/training/{kind}s", kind, name)
    torch.set_num_threads(1)
    with contextlib.suppress(RuntimeError):
        torch.set_num_interop_threads(1)
    if not torch.accelerator.is_available():  # whose autograd threads no fork would survive
        _rehearse()


def _rehearse() -> None:
    """Pass a small model through the gates, so that no trial pays for what torch does only once."""
    from foundry import gates
    from foundry.seed import read_model

    sizes = {"n_layer": 1, "n_head": 2, "n_embd": 32, "block_size": 16, "vocab_size": 32}
    assert gates.check(gates.Subject(source=read_model("v1"), model_args=sizes, batch_size=2)) is None


class Server:
    """Starts trials, watches the clock, and reports how each ended."""

    def __init__(self, connection: socket.socket, keeper: Keeper, confinement: Confinement) -> None:
        self.connection = connection
        self.keeper = keeper
        self.confinement = confinement
        self.lines = bytearray()
        self.running: list[Running] = []
        self.selector = selectors.DefaultSelector()
        self.selector.register(connection, selectors.EVENT_READ)
        self.deaths, wakeup = os.pipe()  # a byte arrives here when a child has died
        for descriptor in (self.deaths, wakeup):
            os.set_blocking(descriptor, False)
        signal.set_wakeup_fd(wakeup, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self.selector.register(self.deaths, selectors.EVENT_READ)

    def serve(self) -> None:
        """Run until the driver closes the connection, or the keeper of the data is gone."""
        try:
            while True:
                for key, _ in self.selector.select(self._patience()):
                    if key.fileobj is self.connection:
                        if not self._receive():
                            return
                    elif key.fileobj == self.deaths:
                        os.read(self.deaths, 1 << 12)
                    elif not key.data.hear(self.confinement):
                        self.selector.unregister(key.fileobj)
                self._end_late()
                self._reap()
        finally:
            for trial in self.running:
                trial.end()

    def _patience(self) -> float | None:
        ends = [trial.deadline for trial in self.running if not trial.timed_out]
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
            trial = Running(json.loads(line)["id"], *decode(line))
            trial.begin(line, self.keeper, self.confinement)
            self.running.append(trial)
            self.selector.register(trial.report, selectors.EVENT_READ, trial)
            self._send({"id": trial.id, "pid": trial.trainee if self.confinement.numbers_hold else None})
        return bool(received)

    def _end_late(self) -> None:
        for trial in self.running:
            if not trial.timed_out and time.monotonic() >= trial.deadline:
                trial.timed_out = True
                trial.end()

    def _reap(self) -> None:
        self.keeper.check()
        for trial in list(self.running):
            if trial.status is None and (ended := family.reap(trial.trainee)):
                trial.status = ended[0]
            if trial.over:
                self._settle(trial)

    def _settle(self, trial: Running) -> None:
        if trial.report in self.selector.get_map():
            self.selector.unregister(trial.report)
        outcome = trial.outcome()
        self.running.remove(trial)
        self._send({"id": trial.id, "outcome": json.loads(encode(outcome))})

    def _send(self, message: dict[str, object]) -> None:
        with contextlib.suppress(ConnectionError):
            self.connection.sendall(json.dumps(message).encode("utf-8") + b"\n")


def main(argv: list[str]) -> int:
    """Serve on the inherited socket; the arguments are its descriptor, a level, and perhaps an experiment."""
    descriptor, level, *experiment = argv
    numbers_hold = not family.prepare()
    warnings.filterwarnings("ignore")
    with socket.socket(fileno=int(descriptor)) as connection:
        preload()
        confine.rehearse(level)
        gc.freeze()  # or a collection in a fork would look at, and so copy, all that was imported
        keeper = Keeper(experiment[0] if experiment else None, leave=connection)
        Server(connection, keeper, Confinement(level, numbers_hold)).serve()
    return 0


if __name__ == "__main__":
    code = main(sys.argv[1:])
    sys.stderr.flush()
    os._exit(code)  # to take torch to pieces lasts a second, in which the driver waits
