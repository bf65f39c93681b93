"""What can befall an arena, each as a function of its path."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
from collections.abc import Callable
from pathlib import Path

from recovery_helpers import git, ledger

FUTURE = 4_000_000_000  # seconds: the year 2096


def state(arena: Path) -> Path:
    return arena / ".git" / "foundry"


def locks(arena: Path) -> None:
    for name in ("index", "config", "packed-refs", "refs/heads/champion", "refs/notes/foundry"):
        lock = arena / ".git" / f"{name}.lock"
        lock.parent.mkdir(parents=True, exist_ok=True)
        lock.touch()


def unfinished_files(arena: Path) -> None:
    (arena / ".git" / "objects" / "objx1y2z3").write_bytes(b"half")
    (arena / ".git" / "objects" / "00").mkdir(exist_ok=True)
    (arena / ".git" / "objects" / "00" / "tmp_obj_123").write_bytes(b"half")
    (arena / ".git" / "index-abc").mkdir()


def no_head(arena: Path) -> None:
    (arena / ".git" / "HEAD").unlink()


def head_to_nowhere(arena: Path) -> None:
    (arena / ".git" / "HEAD").write_text("ref: refs/heads/nowhere\n")


def head_of_nulls(arena: Path) -> None:
    """Leave what a power cut leaves of a file."""
    (arena / ".git" / "HEAD").write_bytes(b"\0" * 21)


def no_ledger(arena: Path) -> None:
    for path in state(arena).glob("ledger.sqlite*"):
        path.unlink()


def overwritten_page(arena: Path) -> None:
    content = bytearray(ledger(arena).read_bytes())
    middle = len(content) // 2
    content[middle : middle + 5000] = b"\xff" * 5000
    ledger(arena).write_bytes(content)


def truncated_ledger(arena: Path) -> None:
    os.truncate(ledger(arena), 20_000)


def ledger_of_garbage(arena: Path) -> None:
    ledger(arena).write_bytes(bytes(range(256)) * 200)


def rewrite(arena: Path, statement: str) -> None:
    """Change what a ledger says, as no program of ours can."""
    with sqlite3.connect(ledger(arena)) as database:
        for trigger in ("event_stays", "event_remains"):
            database.execute(f"DROP TRIGGER {trigger}")
        database.execute(statement)
    database.close()


def event_of_garbage(arena: Path) -> None:
    rewrite(arena, "UPDATE event SET outcome = '{\"kind\"' WHERE id = 5")


def trial_recorded_twice(arena: Path) -> None:
    rewrite(
        arena,
        "INSERT INTO event (kind, key, body, outcome) "
        "SELECT kind, 'another', body, outcome FROM event WHERE kind = 'outcome' LIMIT 1",
    )


def settings_of_nothing(arena: Path) -> None:
    rewrite(arena, "UPDATE event SET body = '{\"search\": 3}' WHERE kind = 'settings'")


def branch(arena: Path) -> str:
    return git(arena, "for-each-ref", "--format=%(refname)", "refs/heads/candidate/g001*").split()[0]


def deleted_branch(arena: Path) -> None:
    git(arena, "update-ref", "-d", branch(arena))


def deleted_candidate(arena: Path) -> None:
    """Delete a branch and let git forget the commit, and the champion that descends from it."""
    names = git(
        arena, "for-each-ref", "--format=%(refname)", "refs/heads/candidate/g001*", "refs/foundry/rejected"
    )
    for name in [*names.split(), "refs/heads/champion", "refs/notes/foundry"]:
        git(arena, "update-ref", "-d", name)
    git(arena, "gc", "-q", "--prune=now")


def deleted_champion(arena: Path) -> None:
    git(arena, "update-ref", "-d", "refs/heads/champion")


def deleted_notes(arena: Path) -> None:
    git(arena, "update-ref", "-d", "refs/notes/foundry")


def scribbled_note(arena: Path) -> None:
    scribbled = [
        "-c",
        "user.name=a",
        "-c",
        "user.email=a@b",
        "notes",
        "--ref=foundry",
        "add",
        "-f",
        "-m",
        "{",
    ]
    git(arena, *scribbled, branch(arena))


def strange_branch(arena: Path) -> None:
    """Put another commit where the ledger has a candidate."""
    message = git(arena, "log", "-1", "--format=%B", branch(arena))
    made = subprocess.run(
        ["git", "-C", str(arena), "-c", "user.name=a", "-c", "user.email=a@b", "commit-tree", "HEAD^{tree}"],
        input=message,
        text=True,
        capture_output=True,
        check=True,
    )
    git(arena, "update-ref", branch(arena), made.stdout.strip())


def empty_ref(arena: Path) -> None:
    path = arena / ".git" / branch(arena)
    deleted_branch(arena)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"")


def scribbled_packed_refs(arena: Path) -> None:
    with (arena / ".git" / "packed-refs").open("ab") as file:
        file.write(b"\0\0\0\0 refs/heads/x\n")


def _object(arena: Path, name: str) -> Path:
    identity = git(arena, "rev-parse", name).strip()
    path = arena / ".git" / "objects" / identity[:2] / identity[2:]
    path.chmod(0o644)
    return path


def empty_commit(arena: Path) -> None:
    _object(arena, branch(arena)).write_bytes(b"")


def damaged_model(arena: Path) -> None:
    path = _object(arena, f"{branch(arena)}:model.py")
    path.write_bytes(path.read_bytes()[:-20])


def lost_notes_tree(arena: Path) -> None:
    _object(arena, "refs/notes/foundry^{tree}").unlink()


def damaged_index(arena: Path) -> None:
    (arena / ".git" / "index").write_bytes(b"nonsense")


def partial_checkpoints(arena: Path) -> None:
    folder = state(arena) / "checkpoints" / ("ab" * 32)
    folder.mkdir(parents=True)
    (folder / "30.123.partial").write_bytes(b"half")
    (folder / "30.safetensors").write_bytes(b"\xff" * 100)
    functions = state(arena) / "checkpoints" / "functions"
    functions.mkdir(exist_ok=True)
    (functions / f"{'cd' * 32}.json").write_text("{")


def clock_set_back(arena: Path) -> None:
    """Date the ledger's events and every file to a time that has not come yet."""
    rewrite(arena, "UPDATE event SET at = strftime('%Y-%m-%dT%H:%M:%fZ', at, '+70 years')")
    for path in arena.rglob("*"):
        os.utime(path, (FUTURE, FUTURE), follow_symlinks=False)


def copied(arena: Path, to: Path) -> Path:
    shutil.copytree(arena, to, symlinks=True)
    return to


Damage = Callable[[Path], None]
