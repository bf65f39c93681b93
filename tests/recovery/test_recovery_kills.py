"""SIGKILL for the driver, the trial server, a trial or a git, at any moment: nothing is lost or doubled."""

from __future__ import annotations

import os
import random
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from killing import TARGETS, Run, adopting_orphans
from recovery_helpers import LONGER, QUICK, check_whole, doctor, events, one_sentence, result

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="finds processes in /proc")


@pytest.fixture(autouse=True)
def _adopting() -> Iterator[None]:
    with adopting_orphans():
        yield


def go_on(arena: Path, plan: list[object]) -> Run:
    """Begin the run, or go on with it once it has a ledger."""
    return Run(arena, "--workers", 2, *(["--resume"] if events(arena) > 0 else plan))


def suffer(arena: Path, plan: list[object], targets: list[str], spread: int, rng: random.Random) -> int:
    """Carry a run to its end while it is killed again and again; return how many kills it took.

    Each comes when so many events more are on disk, up to `spread`, and a moment later. A trial killed
    twice is a failure of its own, so after a worker's death some others end first.
    """
    struck, least = 0, 0
    targets = list(targets)
    while True:
        run = go_on(arena, plan)
        before = events(arena)
        while targets and not run.over:
            before = max(before, events(arena)) + rng.randint(least, spread)
            run.wait_for_events(before)
            run.pause(rng.choice([0.0, rng.uniform(0.0, 0.5)]))
            if run.kill(targets[0], rng):
                least = spread if targets.pop(0) == "worker" else 0
                struck += 1
        code = run.finish()
        if (arena / ".git").exists():
            check_whole(arena)
        if code == 0:
            return struck
        if code == 2:
            assert "foundry doctor --repair" in one_sentence(run.output)
            doctor(arena, "--repair", code=None)
        else:
            assert code == -9, run.output


def test_three_kills_later_the_result_is_the_same(finished: Path, micro: Path, tmp_path: Path) -> None:
    """The driver is killed in tests/test_evolve.py, and here every night."""
    arena = tmp_path / "arena"
    targets = ["worker", "git", "server"]
    assert suffer(arena, [*QUICK, "--experiment", micro], targets, 4, random.Random(4)) >= 2
    assert result(arena) == result(finished)
    assert "is well" in doctor(arena)


def test_the_doctor_leaves_a_run_alone_that_is_at_work(micro: Path, tmp_path: Path) -> None:
    run = go_on(tmp_path / "arena", [*QUICK, "--experiment", micro])
    run.wait_for_events(1)
    os.kill(run.process.pid, signal.SIGSTOP)  # at work, and yet not over before the doctor has come
    try:
        assert "a run is at work here" in doctor(run.arena, code=None)
        assert "stop it, then repair" in one_sentence(doctor(run.arena, "--repair", code=2))
    finally:
        os.kill(run.process.pid, signal.SIGKILL)
    run.finish()


@pytest.mark.slow
@pytest.mark.parametrize("piece", range(30))
def test_two_hundred_kills_later_the_result_is_the_same(
    piece: int, longer: Path, micro: Path, tmp_path: Path
) -> None:
    rng = random.Random(f"kills/{piece}")
    struck = 0
    for part in range(2):
        arena = tmp_path / f"arena{part}"
        targets = [rng.choice(TARGETS) for _ in range(4)]
        struck += suffer(arena, [*LONGER, "--experiment", micro], targets, 10, rng)
        assert result(arena) == result(longer)
        assert "is well" in doctor(arena)
    print(f"piece {piece}: {struck} kills")
    assert struck  # a run may end before its last, on a busy machine before most: a git lasts milliseconds
