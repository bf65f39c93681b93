"""Limits on one process: each act succeeds without its limit."""

from __future__ import annotations

import os
import resource
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from sandbox_helpers import DONE, attempt, needs_linux

from foundry.sandbox.rlimits import Amounts, limit


def burn() -> None:
    while resource.getrusage(resource.RUSAGE_SELF).ru_utime < 1.5:
        pass


def allocate() -> None:
    bytearray(600 << 20)


def write(path: Path) -> Callable[[], object]:
    return lambda: path.write_bytes(bytes(2 << 20))


def open_many() -> None:
    for _ in range(100):
        os.open(os.devnull, os.O_RDONLY)


@needs_linux
def test_processor_time_ends() -> None:
    assert attempt(burn, after=lambda: limit(Amounts(cpu_seconds=1))) == str(int(signal.SIGKILL))
    assert attempt(burn, after=lambda: limit(Amounts(cpu_seconds=60))) == DONE


@needs_linux
def test_memory_ends() -> None:
    assert attempt(allocate, after=lambda: limit(Amounts(data=500 << 20))) == "MemoryError"
    assert attempt(allocate, after=lambda: limit(Amounts())) == DONE


@pytest.mark.parametrize(("amount", "said"), [(1 << 20, "OSError"), (4 << 20, DONE)])
def test_files_end(amount: int, said: str, tmp_path: Path) -> None:
    file = tmp_path / "file"
    assert attempt(write(file), after=lambda: limit(Amounts(file_size=amount))) == said
    assert file.stat().st_size <= amount


@pytest.mark.parametrize(("amount", "said"), [(64, "OSError"), (200, DONE)])
def test_open_files_end(amount: int, said: str) -> None:
    def only_these() -> None:
        os.closerange(64, 1 << 12)
        limit(Amounts(open_files=amount))

    assert attempt(open_many, after=only_these) == said


def test_no_core_is_left_and_nothing_is_raised() -> None:
    def check() -> None:
        assert resource.getrlimit(resource.RLIMIT_CORE) == (0, 0)
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (32, 32)

    def twice() -> None:
        limit(Amounts(open_files=32))
        limit(Amounts(open_files=64))

    assert attempt(check, after=twice) == DONE
