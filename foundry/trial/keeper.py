"""The keeper of the data: a process that reads it once and forks an examiner for each trial.

It is forked from the trial server before any data is read, so that neither the server nor the processes of
candidates that it forks have ever held a token. A candidate that trains on the same texts in another way, in
other tokens say, has them read once more here, for all its trials; and byte pairs are trained by threads that
would not survive a fork.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import traceback
from collections.abc import Sequence
from pathlib import Path

from foundry.data import dataset
from foundry.errors import UserError
from foundry.training import experiment
from foundry.trial import wire
from foundry.trial.job import Job, decode

_PARTS = 4  # descriptors that come with a job: trainee, scored, twin, report


class Keeper:
    """The server's handle."""

    def __init__(self, preload: str | None, leave: socket.socket) -> None:
        """Fork the keeper, which reads the data of an experiment at once; it does not hold on to `leave`."""
        self._connection, theirs = socket.socketpair()
        self.pid = os.fork()
        if self.pid == 0:
            try:
                self._connection.close()
                leave.close()
                _keep(theirs, preload)
            except BaseException:  # shown with the server's own complaints
                traceback.print_exc()
            finally:
                os._exit(0)
        theirs.close()

    def check(self) -> None:
        """Notice the keeper's death.

        Raises:
            ConnectionError: it has died.
        """
        if os.waitpid(self.pid, os.WNOHANG)[0]:
            raise ConnectionError("the keeper of the data has died")

    def examine(self, request: str, wires: Sequence[socket.socket], report: int) -> None:
        """Start an examiner for a request to the server, with its ends of three connections.

        Raises:
            ConnectionError: the keeper is gone.
        """
        socket.send_fds(self._connection, [b"x"], [*(part.fileno() for part in wires), report])
        wire.send(self._connection, {"request": request})


def _keep(connection: socket.socket, preload: str | None) -> None:
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # examiners leave nothing behind
    _close_all_but(connection.fileno())
    shelf = _Shelf(preload)
    while True:
        mark, descriptors, _, _ = socket.recv_fds(connection, 1, _PARTS)
        if not mark:
            return
        request = wire.receive(connection)["request"]
        job, _, checkpoints = decode(request)
        complaint = shelf.fetch(job.experiment)
        if os.fork() == 0:
            try:
                connection.close()
                _examine(job, checkpoints, descriptors, complaint)
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(0)
        for descriptor in descriptors:
            os.close(descriptor)


class _Shelf:
    """What has been read, for all trials on the texts of one experiment, where there is one."""

    def __init__(self, preload: str | None) -> None:
        self._texts: set[str] | None = None
        if preload is not None:
            with contextlib.suppress(UserError):
                self._texts = set(experiment.parse(preload).data.names)
            self.fetch(preload)

    def fetch(self, text: str) -> str | None:
        """Have at hand what an experiment trains and is scored on, if it is of these texts; say why not.

        Others are for the examiner to read, or to wait for in vain.
        """
        try:
            data = experiment.parse(text).data
            if set(data.names) == self._texts:
                dataset.unselected(data)
                dataset.load(data).batches()
        except UserError as error:
            return str(error)
        return None


def _examine(job: Job, checkpoints: Path, descriptors: list[int], complaint: str | None) -> None:
    from foundry.trial.examiner import Examiner

    *wires, report = descriptors
    with contextlib.ExitStack() as closing:
        parts = [closing.enter_context(socket.socket(fileno=descriptor)) for descriptor in wires]
        Examiner(job, checkpoints, parts, report).run(complaint)
    os.close(report)  # now: the end of this process takes longer


def _close_all_but(descriptor: int) -> None:
    os.closerange(3, descriptor)
    os.closerange(descriptor + 1, 256)
