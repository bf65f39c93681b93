"""The pool with real processes: every way to end has its outcome, and nobody else is harmed by it."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from trial_helpers import STEP, outcomes

from foundry.sandbox import system
from foundry.trial.job import Job, Limits
from foundry.trial.outcome import Crashed, Diverged, Outcome, OutOfMemory, Rejected, Scored, TimedOut
from foundry.trial.pool import Pool

PIDFD_GETFD = 438  # of all architectures, pidfd_getfd(2)
FORWARD = "        T = idx.size(1)\n"


def rogue(job: Job, statement: str, *, where: str = FORWARD) -> Job:
    """The job with a statement put into its model: into forward, or before any other line that is given."""
    assert where in job.model
    indent = where[: len(where) - len(where.lstrip())]
    return replace(job, model=job.model.replace(where, f"{indent}{statement}\n{where}", 1))


def loss_of(outcome: Outcome) -> float:
    assert isinstance(outcome, Scored), outcome
    return outcome.loss


def test_scores_and_what_they_say(pool: Pool, job: Job, micro_text: Path) -> None:
    outcome = outcomes(pool, a=job)["a"]
    assert isinstance(outcome, Scored)
    assert 2.5 < outcome.loss < 4.2
    assert outcome.tokens == 5 * STEP
    tokens, positions = len(set(micro_text.read_text())) * 32, 32 * 32
    assert outcome.params == tokens + positions + 32 + 2 * (2 * 32 + 12 * 32 * 32)
    assert outcome.kv_bytes_per_token == 2 * 2 * 32 * 4  # layers, keys and values, width, bytes


def test_the_same_job_has_the_same_score_bit_for_bit(pool: Pool, job: Job) -> None:
    both = outcomes(pool, a=job, b=job)
    assert loss_of(both["a"]) == loss_of(both["b"])


def test_going_on_from_a_rung_equals_training_through(pool: Pool, job: Job, checkpoints: Path) -> None:
    climbing = replace(job, seed=5)
    outcomes(pool, first=climbing)
    saved = checkpoints / climbing.training_key
    assert [path.name for path in saved.iterdir()] == ["5.safetensors"]
    resumed = outcomes(pool, second=replace(climbing, until=15 * STEP))["second"]
    for path in saved.iterdir():
        path.unlink()
    through = outcomes(pool, through=replace(climbing, until=15 * STEP))["through"]
    assert loss_of(resumed) == loss_of(through)


def test_seeds_and_splits_are_part_of_the_key(job: Job) -> None:
    others = [
        replace(job, seed=1),
        replace(job, until=6 * STEP),
        replace(job, split="test"),
        rogue(job, "pass"),
    ]
    assert len({job.key, *(other.key for other in others)}) == 5
    assert replace(job, gated=True).key == job.key
    assert replace(job, until=6 * STEP).training_key == job.training_key


def test_every_way_to_end_has_its_outcome_and_harms_nobody(pool: Pool, job: Job) -> None:
    alone = loss_of(outcomes(pool, alone=replace(job, seed=3))["alone"])
    jobs = {
        "raises": rogue(job, "raise KeyError('gone')"),
        "exits": rogue(job, "raise SystemExit(3)"),
        "leaves": rogue(job, "__import__('os')._exit(7)"),
        "faults": rogue(job, "__import__('ctypes').string_at(0)"),
        "innocent": replace(job, seed=3),
        "recurses": rogue(job, "self.forward(idx, targets)"),
        "eats": rogue(job, "self.hoard = [torch.ones(1 << 26) for _ in range(16)]"),
        "diverges": rogue(job, "self.lm_head.weight.data.mul_(float('nan'))"),
        "chatters": rogue(job, "print('x' * 1000)"),
        "misshapen": rogue(job, "idx = idx[:, :-1] if not self.training else idx"),
        "leaks": rogue(
            job, "x = torch.roll(idx, -1, 1); return F.one_hot(x, self.config.vocab_size) * 9.0, None"
        ),
    }
    jobs["leaks"] = replace(jobs["leaks"], gated=True)
    found = outcomes(pool, **jobs)
    assert found["raises"] == Crashed(reason="KeyError: 'gone'")
    assert found["exits"] == Crashed(reason="SystemExit: 3")
    assert found["leaves"] == Crashed(reason="the trial's process ended with status 7")
    assert found["faults"] == Crashed(reason="the trial's process was killed by SIGSEGV")
    assert isinstance(found["recurses"], Crashed)
    assert isinstance(found["eats"], OutOfMemory)
    assert found["diverges"] == Diverged(step=0)
    assert loss_of(found["chatters"]) == loss_of(outcomes(pool, plain=job)["plain"])
    assert isinstance(found["misshapen"], Crashed)
    assert isinstance(found["leaks"], Rejected)
    assert loss_of(found["innocent"]) == alone


def test_trials_that_overrun_or_lose_their_driver_end_with_their_children(job: Job, tmp_path: Path) -> None:
    overruns, remains = (_endless(job, tmp_path / name) for name in ("overruns", "remains"))
    with Pool(1, checkpoints=tmp_path / "kept", limits=Limits(seconds=3), sandbox="process") as pool:
        assert isinstance(outcomes(pool, before=job)["before"], Scored)
        theirs = _begun(pool, overruns, tmp_path / "overruns")
        found = dict(finish(pool))
        assert found == {"endless": TimedOut(seconds=3)}
        assert all(gone(pid) for pid in theirs)
        assert isinstance(outcomes(pool, next=job)["next"], Scored)
        theirs = _begun(pool, remains, tmp_path / "remains")
        pool._connection.shutdown(socket.SHUT_RDWR)  # what the kernel does when a driver dies
        server = pool.server_pid
        os.waitpid(server, 0)
        assert all(gone(pid) for pid in theirs)
        pool._server.returncode = 0  # reaped above


def _endless(job: Job, marker: Path) -> Job:
    """A job that forks, leaves its session, and never ends."""
    fork = (
        "import os; pid = os.fork(); pid or (os.setsid(), "
        f"open({str(marker)!r}, 'w').close()); [None for _ in iter(int, 1)]"
    )
    return rogue(job, f"exec({fork!r})")


def _begun(pool: Pool, endless: Job, marker: Path) -> set[int]:
    """Start an endless job; return its processes."""
    before = descendants(pool.server_pid)
    pool.start("endless", endless)
    while not marker.exists():
        assert not list(pool.finished(timeout=0.05))
    theirs = descendants(pool.server_pid) - before
    assert len(theirs) >= 3  # an examiner, a trainee, its child
    return theirs


def test_trials_outlive_their_server(pool: Pool, job: Job) -> None:
    expected = loss_of(outcomes(pool, quiet=replace(job, seed=9))["quiet"])
    pool.start("a", replace(job, seed=9))
    os.kill(pool.server_pid, signal.SIGKILL)
    found: dict[str, Outcome] = {}
    while not found:
        found.update(pool.finished(timeout=1))
    assert loss_of(found["a"]) == expected


@pytest.mark.skipif(not system.LINUX, reason="takes a copy of another process's socket")
def test_a_server_is_missed_although_its_end_of_the_socket_stays_open(job: Job, tmp_path: Path) -> None:
    """As by a child of bwrap, which waits for ever to be set up if bwrap is killed meanwhile."""
    with Pool(1, checkpoints=tmp_path, sandbox="process") as pool:
        expected = loss_of(outcomes(pool, before=job)["before"])
        copies = [
            system.call(PIDFD_GETFD, os.pidfd_open(pid), int(link.name), 0)
            for pid in {pool.server_pid, *descendants(pool.server_pid)}
            for link in Path(f"/proc/{pid}/fd").iterdir()
            if str(link.readlink()).startswith("socket:")
        ]
        os.kill(pool.server_pid, signal.SIGKILL)
        assert loss_of(outcomes(pool, after=job)["after"]) == expected
        for descriptor in copies:
            os.close(descriptor)


def finish(pool: Pool) -> Iterator[tuple[str, Outcome]]:
    """Wait for whatever is running."""
    while pool.free < pool.workers:
        yield from pool.finished(timeout=0.5)


def descendants(pid: int) -> set[int]:
    """List the processes below another one, as /proc has them now."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(stat.parent.name)] = int(stat.read_text().rsplit(")", 1)[1].split()[1])
        except (FileNotFoundError, ProcessLookupError):
            continue
    found, more = set(), {pid}
    while more:
        more = {child for child, parent in parents.items() if parent in more}
        found |= more
    return found


def gone(pid: int) -> bool:
    """Wait until a process has ended or is a zombie that nobody has reaped yet."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z":
                return True
            os.kill(pid, 0)
        except (ProcessLookupError, FileNotFoundError):
            return True
    return False
