"""Runs a contestant on a task in a process of its own, and looks at what it has left behind."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "tests" / "recovery"))

from killing import adopting_orphans, descendants

from benchmarks.faults.task import Task

ROOT = Path(__file__).parents[2]
_SETTLING = 5.0  # seconds that processes which are about to end are given
_CANARY = "results.json"


@dataclass(frozen=True)
class Contestant:
    """A way to score candidates."""

    title: str
    module: str  # of this package
    options: dict[str, str]


@dataclass(frozen=True)
class Result:
    """What came of one run."""

    scores: dict[str, float]
    said: dict[str, str]
    ended: bool  # by itself, before its time was over
    code: int
    seconds: float
    orphans: int  # processes that outlive the run
    harmed: bool  # whether a file of somebody else is gone or changed
    output: int  # bytes on its standard streams


def run(contestant: Contestant, task: Task, limit: float) -> Result:
    """Run to the end, or until `limit` seconds are over."""
    victim = Path(task.folder, "victim")
    canary = victim / _CANARY
    began = time.monotonic()
    with adopting_orphans(), _started(contestant, task) as (process, output):
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=limit)
        ended, seconds = process.poll() is not None, time.monotonic() - began
        if not ended:
            process.kill()
        code = process.wait()
        orphans = len(left()) if ended else 0  # what we kill ourselves leaves what it leaves
        size = os.fstat(output).st_size
    found = json.loads(task.answers.read_text("utf-8")) if task.answers.exists() else {}
    harmed = not canary.exists() or canary.read_text("utf-8") != _CANARY
    return Result(
        scores=found.get("scores", {}),
        said=found.get("said", {}),
        ended=ended,
        code=code,
        seconds=seconds,
        orphans=orphans,
        harmed=harmed,
        output=size,
    )


def kill_midway(contestant: Contestant, task: Task, progress: Callable[[], int], enough: int) -> int:
    """Start a run and SIGKILL its first process when it is so far; return how many processes outlive it."""
    with adopting_orphans(), _started(contestant, task) as (process, _):
        while process.poll() is None and progress() < enough:
            time.sleep(0.02)
        for pid in _first(contestant, process.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.wait()
        return len(left())


def prepare(folder: Path) -> Path:
    """Make a folder for a task with somebody else's file in it; return where that lies."""
    victim = folder / "victim"
    victim.mkdir(parents=True)
    (victim / _CANARY).write_text(_CANARY, encoding="utf-8")
    return victim


@contextlib.contextmanager
def _started(contestant: Contestant, task: Task) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    command = [sys.executable, "-m", f"benchmarks.faults.{contestant.module}", str(task.save())]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "TMPDIR": task.folder}
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )
        try:
            yield process, output.fileno()
        finally:
            for pid in left(0):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            left()


def _first(contestant: Contestant, pid: int) -> list[int]:
    """Name whom a person would kill: the process that drives the run, and what only started it."""
    return [*(descendants(pid)[:1] if contestant.module == "openevolve_run" else []), pid]


def left(patience: float = _SETTLING) -> set[int]:
    """Return what still runs below us when some time has passed."""
    ends = time.monotonic() + patience
    while True:
        below = set(descendants(os.getpid()))
        for pid in below:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
        alive = {pid for pid in below if Path(f"/proc/{pid}").exists()}
        if not alive or time.monotonic() > ends:
            return alive
        time.sleep(0.05)
