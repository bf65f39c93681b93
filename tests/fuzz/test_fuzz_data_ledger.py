"""Ledgers that anything may have happened to: a LedgerError, never another exception, and a way on."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

from fuzz_data_helpers import anything, examples, looking, overwritten
from hypothesis import given
from hypothesis import strategies as st

from foundry.trial.outcome import Crashed, Diverged, Rejected
from population import salvage
from population.ledger import Ledger, LedgerError
from population.ledger_shape import require_run

COMMIT = "ab" * 20
BODY = {"number": 1, "rung": 0, "seed": 0, "split": "val_search", "index": 0}
BIRTH = {"commit": COMMIT, "program": "x" * 6000, "operator": "depth", "numbers": {"learning_rate": 1e-3}}
KINDS = ("settings", "birth", "outcome", "recalled", "closed", "extended", "test", "champion", "driver")


def is_plan(settings: object) -> bool:
    return isinstance(settings, dict) and settings.get("seed") == 0


def write(path: Path) -> None:
    """Write a ledger of some pages."""
    for leftover in path.parent.glob("ledger.sqlite*"):
        leftover.unlink()
    with Ledger.create(path, {"seed": 0}) as ledger:
        for number in range(1, 9):
            ledger.record_birth(number, BIRTH)
            ledger.record_outcome(f"{number}", {**BODY, "number": number}, Diverged(step=number))
        ledger.record("recalled", {**BODY, "number": 20, "key": "1"})
        ledger.record("champion", {"name": "g", "commit": COMMIT})


def read_all(path: Path) -> str:
    """Read all that a search, a board or a person would; return what is wrong with it."""
    try:
        with Ledger.read(path) as ledger:
            require_run(ledger)
            assert isinstance(ledger.settings, dict)
            assert ledger.active_seconds() >= 0
            assert len(ledger) >= 1
    except LedgerError as error:
        return str(error)
    return ""


def check_mended(path: Path) -> None:
    """Assert that a ledger reads well, or that what was wrong is mended with what the plan says."""
    plan = {"seed": 0}
    for fault in salvage.faults(path, plan=plan, is_plan=is_plan, tested=None):
        assert fault.mend is not None
        fault.mend()
    assert read_all(path) == ""
    assert not list(salvage.faults(path, plan=plan, is_plan=is_plan, tested=None))


@examples
def test_bytes(examples: int, tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    write(path)
    content = path.read_bytes()

    @looking(examples)
    @given(overwritten(content))
    def check(damaged: bytes) -> None:
        for leftover in tmp_path.glob("ledger.sqlite*"):
            leftover.unlink()
        path.write_bytes(damaged)
        complaint = read_all(path)
        assert "\n" not in complaint
        if "schema version" not in complaint:  # of which nobody mends another
            check_mended(path)

    check()


@examples
def test_events(examples: int, tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    like_ours = st.fixed_dictionaries(
        {}, optional=dict.fromkeys([*BODY, *BIRTH, "key", "name", "orders"], anything)
    )
    bodies = (like_ours | anything).map(json.dumps) | st.text(max_size=20)
    kept = st.sampled_from([json.dumps(BODY), json.dumps(BIRTH)])
    outcomes = st.none() | st.text(max_size=20) | _outcomes()
    rows = st.tuples(
        st.sampled_from(KINDS), st.none() | st.text(max_size=5), bodies | kept, outcomes, st.text(max_size=5)
    )

    @looking(examples)
    @given(st.lists(rows, min_size=1, max_size=4))
    def check(strange: list[tuple[object, ...]]) -> None:
        write(path)
        with sqlite3.connect(path) as database:
            statement = "INSERT OR IGNORE INTO event (kind, key, body, outcome, at) VALUES (?, ?, ?, ?, ?)"
            database.executemany(statement, [_storable(row) for row in strange])
        database.close()
        complaint = read_all(path)
        assert "\n" not in complaint
        check_mended(path)

    check()


def _outcomes() -> st.SearchStrategy[str]:
    kinds = st.sampled_from([Crashed.__name__, Rejected.__name__, "Scored", "Nothing"]) | anything
    fields = dict.fromkeys(["reason", "gate", "loss", "step"], anything)
    return st.fixed_dictionaries({"kind": kinds}, optional=fields).map(json.dumps)


def _storable(row: tuple[object, ...]) -> tuple[object, ...]:
    """Give lone surrogates, which SQLite cannot hold, another form."""
    return tuple(v.encode(errors="replace").decode() if isinstance(v, str) else v for v in row)
