"""Every question that a doctor asks of an arena, from git's own files up to the checkpoints of a run."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from foundry.cli import checkpoint_faults
from foundry.cli.run import LEDGER, Plan
from genome import Arena, ArenaError, Candidate, integrity, remains, skeleton
from genome.command import Git
from genome.fault import Fault
from genome.mending import Mending
from genome.repository import Repository
from population import ledger_refs, salvage
from population.ledger import Ledger, LedgerError
from population.ledger_shape import require_run
from population.settings import SEED_MODEL


def faults(repository: Repository, *, busy: bool) -> Iterator[Fault]:
    """Find what is wrong, each thing after what it may follow from, to be mended one by one.

    `busy` says that a run is at work, whose unfinished files are no faults.
    """
    if not busy:
        yield from remains.faults(repository.directory)
    yield from _unwritable(repository)
    broken = list(skeleton.faults(repository))
    yield from broken
    if complaint := _complaint(repository):
        if not broken:
            yield Fault(what=f"git does not open it: {complaint}", remedy="mend that by hand")
        return
    yield from integrity.faults(repository)
    arena = Arena(repository)
    try:
        yield from _of_run(repository, arena)
    except (ArenaError, LedgerError) as error:  # follows from a fault above, which nobody has mended
        if not broken:
            yield Fault(what=str(error), remedy="mend what is named above first")
    if not busy:
        yield from checkpoint_faults.faults(repository.directory / "foundry" / "checkpoints")


def at_work(repository: Repository) -> bool:
    """Say whether a living process has the lock of the arena or of its ledger. Nothing is written."""
    state = repository.directory / "foundry"
    return _is_held(state / "writer.lock", fcntl.lockf) or _is_held(state / f"{LEDGER}.lock", fcntl.flock)


def counts(repository: Repository) -> dict[str, int]:
    """Count what an arena holds; 0 where it cannot be read."""
    state = repository.directory / "foundry"
    found = dict.fromkeys(("candidates", "rejected", "events", "notes", "checkpoints", "bytes"), 0)
    found["checkpoints"] = sum(1 for _ in state.glob("checkpoints/*/*.safetensors"))
    found["bytes"] = sum(_size(path) for path in repository.directory.rglob("*"))
    with suppress(ArenaError):
        arena = Arena(repository)
        alive = arena.candidates(rejected=False)
        found["candidates"] = len(alive)
        found["rejected"] = len(arena.candidates()) - len(alive)
        found["notes"] = len(arena.notes())
    with suppress(LedgerError), Ledger.read(state / LEDGER) as ledger:
        found["events"] = len(ledger)
    return found


def _of_run(repository: Repository, arena: Arena) -> Iterator[Fault]:
    """Examine ledger, candidates and notes, where there is a run."""
    path = repository.directory / "foundry" / LEDGER
    candidates, notes = arena.candidates(), arena.notes()
    if not (candidates or path.exists()):
        return
    plan = _kept_plan(arena)
    yield from salvage.faults(path, plan=plan, is_plan=is_plan, tested=_tested(candidates, notes))
    try:
        ledger = Ledger.read(path)
    except LedgerError:
        return
    mending = Mending(repository)
    with ledger:
        try:
            require_run(ledger)
        except LedgerError:
            return
        yield from ledger_refs.faults(ledger, candidates, mending)
        yield from ledger_refs.of_champion(ledger, arena.champion(), mending)
        yield from ledger_refs.of_notes(ledger, arena.candidates(), notes, mending)


def is_plan(settings: Mapping[str, Any]) -> bool:
    """Say whether settings are the plan of a run."""
    try:
        Plan.from_json(settings)
    except (TypeError, KeyError, ValueError, AssertionError):
        return False
    return True


def _kept_plan(arena: Arena) -> Mapping[str, Any] | None:
    """Return the plan that git keeps, if it keeps one that can be read."""
    try:
        body = json.loads(arena.plan() or "null")
    except (ArenaError, ValueError, RecursionError):
        return None
    return body if isinstance(body, dict) and is_plan(body) else None


def _tested(candidates: list[Candidate], notes: Mapping[str, Mapping[str, str]]) -> str | None:
    """Return the commit that the test split was opened for, beside the seed model's."""
    tested = [
        candidate.commit
        for candidate in candidates
        if candidate.number != SEED_MODEL
        and any(key.startswith("test ") for key in notes.get(candidate.commit, {}))
    ]
    return tested[0] if tested else None


def _unwritable(repository: Repository) -> Iterator[Fault]:
    for folder in (repository.directory, repository.directory / "objects", repository.directory / "refs"):
        if folder.exists() and not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
            yield Fault(what=f"{folder} cannot be written", remedy="make it writable")


def _complaint(repository: Repository) -> str:
    try:
        Git(repository.directory).run("for-each-ref", "--count=1", "--format=%(refname)")
    except ArenaError as error:
        return str(error)
    return ""


def _is_held(path: Path, lock: Any) -> bool:
    try:
        handle = os.open(path, os.O_RDONLY)
    except OSError:
        return False
    try:
        lock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(handle)
    return False


def _size(path: Path) -> int:
    with suppress(OSError):
        return path.lstat().st_size if path.is_file() else 0
    return 0
