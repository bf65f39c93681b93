"""How long a person waits: until the leaderboard is on the screen, until the first trial has trained a rung.

    python benchmarks/startup.py

Runs evolve.py on a terminal of its own in a temporary arena and stops it as soon as both have been seen.
"""

from __future__ import annotations

import os
import pty
import select
import signal
import statistics
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
RUNS = 3


def main() -> None:
    """Measure and print."""
    waits = [one_start() for _ in range(RUNS)]
    for name, values in zip(
        ("leaderboard on screen", "first trial past its first rung"), zip(*waits, strict=True), strict=True
    ):
        print(f"{name}: median {statistics.median(values):.1f} s of {', '.join(f'{v:.1f}' for v in values)}")


def one_start() -> tuple[float, float]:
    """Return seconds to the first frame, and to the first checkpoint: a trial has trained T/9 by then."""
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        pid, terminal = pty.fork()
        if pid == 0:
            os.chdir(ROOT)
            os.execv(sys.executable, [sys.executable, "evolve.py", "--arena", f"{folder}/arena"])
        seen = bytearray()
        frame = wait(terminal, seen, lambda: b"Foundry" in seen) - started
        checkpoints = Path(folder, "arena", ".git", "foundry", "checkpoints")
        wait(terminal, seen, lambda: checkpoints.exists() and any(checkpoints.rglob("*.safetensors")))
        first = time.perf_counter() - started
        os.kill(pid, signal.SIGINT)
        while drain(terminal, seen):
            pass
        os.waitpid(pid, 0)
        return frame, first


def wait(terminal: int, seen: bytearray, condition: object) -> float:
    """Read the terminal until a condition holds; return the time."""
    assert callable(condition)
    while not condition():
        drain(terminal, seen)
    return time.perf_counter()


def drain(terminal: int, seen: bytearray) -> bool:
    """Read what is there within 50 ms; False at the end."""
    if select.select([terminal], [], [], 0.05)[0]:
        try:
            seen += os.read(terminal, 1 << 16)
        except OSError:
            return False
    return True


if __name__ == "__main__":
    main()
