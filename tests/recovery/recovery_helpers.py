"""Real runs of evolve.py, real kills, and what a run has come to, apart from what clocks measured."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from evolve import main as evolve_main
from foundry.cli.doctor import main as doctor_main

ROOT = Path(__file__).parents[2]
QUICK = [
    "--generations",
    "1",
    "--population",
    "3",
    "--tokens",
    "2400",
    "--finalists",
    "1",
    "--operators",
    "swap_activation",
]
LONGER = ["--generations", "2", "--population", "2", "--tokens", "3000", "--finalists", "1"]
OF_THE_MOMENT = ("tokens_per_second", "sandbox")  # lines of notes
BY_THE_CLOCK = ("tokens_per_second", "seconds", "train_seconds", "peak_memory", "recalled")


def command(*arguments: object) -> list[str]:
    return [sys.executable, *map(str, arguments)]


def environment() -> dict[str, str]:
    return {**os.environ, "NO_COLOR": "1", "COLUMNS": "80", "PYTHONUNBUFFERED": "1", "PYTHONPATH": str(ROOT)}


def call(*arguments: object, code: int | None = 0) -> str:
    """Run a command of ours to its end and return all that it said."""
    done = subprocess.run(
        command(*arguments),
        cwd=ROOT,
        env=environment(),
        text=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=400,
        check=False,
    )
    assert "Traceback" not in done.stdout, done.stdout
    assert code in (None, done.returncode), (done.returncode, done.stdout)
    return done.stdout


def evolve(*arguments: object, code: int | None = 0) -> str:
    return call(ROOT / "evolve.py", *arguments, code=code)


def here(main: Callable[[list[str]], int], *arguments: object, code: int | None = 0) -> str:
    """Run a command of ours in this process, which is quicker, and return all that it said."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        returned = main([str(argument) for argument in arguments])
    assert code in (None, returned), (returned, said.getvalue())
    return said.getvalue()


def refusal(arena: Path) -> str:
    """Return the sentence with which a run is not gone on with, before it has started anything."""
    return one_sentence(here(evolve_main, "--arena", arena, "--resume", code=2))


def doctor(arena: Path, *arguments: object, code: int | None = 0) -> str:
    return here(doctor_main, "--arena", arena, *arguments, code=code)


def findings(arena: Path, *arguments: object) -> list[dict[str, Any]]:
    """Return what the doctor finds, as it says it to programs."""
    found: list[dict[str, Any]] = json.loads(doctor(arena, "--json", *arguments, code=None))["findings"]
    return found


def git(arena: Path, *arguments: str) -> str:
    done = subprocess.run(["git", "-C", str(arena), *arguments], text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def ledger(arena: Path) -> Path:
    return arena / ".git" / "foundry" / "ledger.sqlite"


@contextlib.contextmanager
def database(arena: Path) -> Iterator[sqlite3.Connection]:
    with contextlib.closing(sqlite3.connect(f"file:{ledger(arena)}?mode=ro", uri=True)) as opened:
        yield opened


def events(arena: Path) -> int:
    """Count the events that are on disk, 0 where there is no ledger yet."""
    try:
        with database(arena) as opened:
            return int(opened.execute("SELECT COUNT(*) FROM event").fetchone()[0])
    except sqlite3.OperationalError:
        return 0


def result(arena: Path) -> dict[str, Any]:
    """Return all that a run has come to: refs, notes, births, trials and champion."""
    with database(arena) as opened:
        rows = opened.execute("SELECT kind, key, body, outcome FROM event ORDER BY id").fetchall()
    trials = [
        (key, work(json.loads(body)), _timeless(json.loads(outcome)))
        for kind, key, body, outcome in rows
        if kind == "outcome"
    ]
    done = [work(json.loads(body)) for kind, _, body, _ in rows if kind in ("outcome", "recalled")]
    assert max(Counter(done).values(), default=1) == 1, "a trial is recorded twice"
    shown = git(arena, "for-each-ref", "--format=%(objectname) %(refname)").splitlines()
    return {
        "refs": [line for line in shown if not re.search("refs/(notes|foundry/aside)/", line)],
        "notes": _notes(arena),
        "births": {key: json.loads(body) for kind, key, body, _ in rows if kind == "birth"},
        "trials": sorted(trials, key=lambda trial: trial[0]),
        "done": sorted(done),
        "champion": [json.loads(body) for kind, _, body, _ in rows if kind == "champion"][-1:],
    }


def work(body: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(body[name] for name in ("number", "rung", "seed", "split"))


def _timeless(outcome: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in outcome.items() if name not in BY_THE_CLOCK}


def _notes(arena: Path) -> dict[str, list[str]]:
    listing = git(arena, "notes", "--ref=foundry", "list").split()
    notes = {}
    for blob, commit in zip(listing[::2], listing[1::2], strict=True):
        lines = git(arena, "cat-file", "blob", blob).splitlines()
        notes[commit] = sorted(line for line in lines if not line.startswith(OF_THE_MOMENT))
    return notes


def check_whole(arena: Path) -> None:
    """Assert that git and SQLite find nothing wrong, whatever has happened to the run."""
    git(arena, "fsck", "--strict", "--no-dangling")
    if ledger(arena).exists():
        with database(arena) as opened:
            assert opened.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def one_sentence(output: str) -> str:
    """Return the complaint that a command ended with, which is one line; progress may come before it."""
    lines = [line for line in output.splitlines() if re.match(r"(evolve|foundry doctor): ", line)]
    assert len(lines) == 1, output
    assert output.splitlines()[-1] == lines[0], output
    return lines[0]
