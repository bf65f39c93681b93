"""Kill one process of a run at a random moment, and see that nothing of it lives on."""

from __future__ import annotations

import contextlib
import ctypes
import os
import random
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from recovery_helpers import ROOT, command, environment, events

TARGETS = ("driver", "server", "worker", "git")
_PR_SET_CHILD_SUBREAPER = 36
_PATIENCE = 120.0  # seconds, after which something hangs


@contextlib.contextmanager
def adopting_orphans() -> Iterator[None]:
    """Become the parent of whatever our descendants leave behind, so that it can be seen."""
    prctl = ctypes.CDLL(None).prctl
    assert prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0
    try:
        yield
    finally:
        prctl(_PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)


def family_tree() -> dict[int, list[int]]:
    """Return the children of every process."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(entry.name))
    return children


def descendants(of: int) -> list[int]:
    """List the processes below one, nearest first."""
    tree, found = family_tree(), [of]
    for process in found:
        found += sorted(tree.get(process, []))
    return found[1:]


def name_of(process: int) -> str:
    try:
        return Path(f"/proc/{process}/comm").read_text().strip()
    except OSError:
        return ""


def _is_server(process: int) -> bool:
    """Say whether a process is the trial server, or what confines it."""
    try:
        return b"foundry.trial.server" in Path(f"/proc/{process}/cmdline").read_bytes()
    except OSError:
        return False


class Run:
    """A run of evolve.py that is to be killed; its output goes to a file beside its arena."""

    def __init__(self, arena: Path, *arguments: object) -> None:
        self.arena = arena
        self._kin = set(descendants(os.getpid()))  # of whoever runs the tests: not ours
        self._output = arena.parent / f"{arena.name}.log"
        with self._output.open("w") as output:
            self.process = subprocess.Popen(
                command(ROOT / "evolve.py", "--arena", arena, *arguments),
                cwd=ROOT,
                env=environment(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    @property
    def output(self) -> str:
        return self._output.read_text()

    @property
    def over(self) -> bool:
        return self.process.poll() is not None

    def wait_for_events(self, number: int) -> None:
        """Return when the ledger has so many events, or the run is over."""
        while not self.over and events(self.arena) < number:
            self.pause(0.01)

    def pause(self, seconds: float) -> None:
        """Let the run go on for a moment, or to its end."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(timeout=seconds)

    def kill(self, target: str, rng: random.Random) -> bool:
        """Kill the driver, its trial server, a process of a trial, or a git; False if the run ends first."""
        while not self.over:
            if found := self._processes(target):
                if target == "git":
                    time.sleep(rng.uniform(0.0, 0.006))  # of its few milliseconds
                with contextlib.suppress(ProcessLookupError):
                    os.kill(rng.choice(found), signal.SIGKILL)
                    if target == "driver":
                        self.process.wait()
                    return True
        return False

    def _processes(self, target: str) -> list[int]:
        driver = self.process.pid
        if target == "driver":
            return [driver]
        children = family_tree().get(driver, [])
        if target == "git":
            return [child for child in children if name_of(child) == "git"]
        servers = [child for child in children if _is_server(child)]
        if target == "server":
            return servers
        return [process for server in servers for process in descendants(server)]

    def finish(self) -> int:
        """Wait until the driver and all that it has started are gone; return its exit status."""
        code = self.process.wait(timeout=400)
        ends = time.monotonic() + _PATIENCE
        while left := set(descendants(os.getpid())) - self._kin:
            assert time.monotonic() < ends, {process: name_of(process) for process in left}
            for orphan in left:
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(orphan, os.WNOHANG)
            time.sleep(0.02)
        return code
