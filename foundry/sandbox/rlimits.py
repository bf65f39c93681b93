"""Resource limits of one process: the layer that every system has.

Covers: CPU time, private memory, the size of each file written, open files, core dumps; processes where the
user is not root, whom the kernel exempts. Does not cover: wall-clock time (the server's business), memory
that is shared rather than private (see seccomp.py), the number of files and so the total written, the time
and memory of children, which start their own count. Source: getrlimit(2).
"""

from __future__ import annotations

import resource
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Amounts:
    """What one process may use; None leaves a limit as it is."""

    cpu_seconds: int | None = None
    data: int | None = None  # bytes of private writable memory, a preloaded torch included
    file_size: int | None = None  # bytes of each file
    processes: int | None = None  # threads and processes of this user in all (in a user namespace: within it)
    open_files: int | None = None


def limit(amounts: Amounts) -> None:
    """Lower this process's limits, for good; none is ever raised above what the user has."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for kind, amount in (
        (resource.RLIMIT_CPU, amounts.cpu_seconds),
        (resource.RLIMIT_DATA, amounts.data),
        (resource.RLIMIT_FSIZE, amounts.file_size),
        (resource.RLIMIT_NPROC, amounts.processes),
        (resource.RLIMIT_NOFILE, amounts.open_files),
    ):
        if amount is not None:
            _lower(kind, amount)


def _lower(kind: int, amount: int) -> None:
    hard = resource.getrlimit(kind)[1]
    amount = amount if hard == resource.RLIM_INFINITY else min(amount, hard)
    resource.setrlimit(kind, (amount, amount))
