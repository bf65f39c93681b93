"""Find and kill what children have started, where no PID namespace does it: by reading /proc.

The caller must be the reaper of its orphans (PR_SET_CHILD_SUBREAPER). Not covered: a fork bomb that is faster
than reading /proc. A child's orphans may be killed at any time, even while the child is still at work.
Source: proc_pid_stat(5).
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Collection
from pathlib import Path

_ROUNDS = 100


def children() -> set[int]:
    """Return the children of this process, adopted ones included."""
    me = os.getpid()
    return {pid for pid, parent in _parents().items() if parent == me}


def kill(root: int, *, spared: Collection[int]) -> None:
    """Kill the descendants of the child `root`, and of all children that are not `spared`, with those."""
    stopped: set[int] = set()
    for _ in range(_ROUNDS):  # stopped before they are killed, so that none is born meanwhile
        found = _condemned(root, spared) - stopped
        if not found:
            break
        for pid in found:
            _signal(pid, signal.SIGSTOP)
        stopped |= found
    for _ in range(_ROUNDS):
        left = _condemned(root, spared)
        if not left:
            return
        for pid in left:
            _signal(pid, signal.SIGKILL)
        for pid in left:
            with contextlib.suppress(ChildProcessError):  # not ours before its own parent is gone
                os.waitpid(pid, 0)


def _condemned(root: int, spared: Collection[int]) -> set[int]:
    parents = _parents()
    below: dict[int, list[int]] = {}
    for pid, parent in parents.items():
        below.setdefault(parent, []).append(pid)
    ours = below.get(os.getpid(), [])
    found = [pid for pid in ours if pid == root or pid not in spared]
    for pid in found:  # grows as it goes
        found += below.get(pid, [])
    return set(found) - {root}


def _parents() -> dict[int, int]:
    """Map every process to its parent."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                found[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
    return found


def _signal(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)
