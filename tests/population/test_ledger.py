"""The ledger on a real disk, with real processes killed in the middle of their writing."""

from __future__ import annotations

import json
import math
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foundry.trial.outcome import (
    Crashed,
    Diverged,
    Outcome,
    OutOfMemory,
    Rejected,
    Scored,
    TimedOut,
)
from population.ledger import Ledger, LedgerError

SETTINGS = {"seed": 1337, "dataset": "shakespeare_char", "generations": 20}
WRITER = """
import sys
from foundry.trial.outcome import TimedOut
from population.ledger import Ledger
with Ledger.open(sys.argv[1]) as ledger:
    first = len(ledger.births())
    for number in range(first, first + 100_000):
        ledger.record_birth(number, {"parent": number - 1})
        ledger.record_outcome(f"key-{number}", {"rung": 0}, TimedOut(seconds=float(number)))
        print(number, flush=True)
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "ledger.sqlite"
    Ledger.create(path, SETTINGS).close()
    return path


def start(script: str, path: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", script, str(path)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )


def fill(path: Path, births: int) -> None:
    with Ledger.open(path) as ledger:
        for number in range(births):
            ledger.record_birth(number, {"words": "depth 4 → 5", "filler": "x" * 500})


def test_a_run_is_read_back_as_it_was_written(path: Path) -> None:
    with Ledger.open(path) as ledger:
        ledger.record_birth(7, {"parent": 3, "words": "depth 4 → 5"})
        ledger.record_birth(2, {"parent": None})
        ledger.record_outcome("b", {"rung": 0, "seed": 1}, Diverged(step=12))
        ledger.record("champion", {"commit": "abc"})
        ledger.record_outcome("a", {"rung": 1, "seed": 1}, Rejected(gate="causality", reason="position 3"))
        ledger.record("champion", {"commit": "def"})
    with Ledger.open(path) as ledger:
        assert ledger.settings == SETTINGS
        assert list(ledger.births().items()) == [
            (7, {"parent": 3, "words": "depth 4 → 5"}),
            (2, {"parent": None}),
        ]
        assert ledger.outcomes() == [
            ("b", {"rung": 0, "seed": 1}, Diverged(step=12)),
            ("a", {"rung": 1, "seed": 1}, Rejected(gate="causality", reason="position 3")),
        ]
        assert ledger.outcome("a") == Rejected(gate="causality", reason="position 3")
        assert ledger.outcome("c") is None
        assert ledger.events("champion") == [{"commit": "abc"}, {"commit": "def"}]
        assert ledger.events("stopped") == []


def test_the_first_record_of_a_key_stays(path: Path) -> None:
    with Ledger.open(path) as ledger:
        assert ledger.record_outcome("a", {"rung": 0}, Diverged(step=1))
        assert not ledger.record_outcome("a", {"rung": 9}, Diverged(step=2))
        assert ledger.record_birth(1, {"parent": 0})
        assert not ledger.record_birth(1, {"parent": 5})
        assert ledger.outcomes() == [("a", {"rung": 0}, Diverged(step=1))]
        assert ledger.births() == {1: {"parent": 0}}


text = st.text()
number = st.integers(0, 10**30)
figure = st.floats(allow_nan=False)
outcomes = st.one_of(
    st.builds(
        Scored,
        loss=figure,
        bits_per_byte=figure,
        params=number,
        train_flops=number,
        work=number,
        tokens=number,
        tokens_per_second=figure,
        seconds=figure,
        train_seconds=figure,
        kv_bytes_per_token=number,
        peak_memory=number,
    ),
    st.builds(Rejected, gate=text, reason=text),
    st.builds(Crashed, reason=text),
    st.builds(TimedOut, seconds=figure),
    st.builds(OutOfMemory, reason=text),
    st.builds(Diverged, step=number),
)
bodies = st.dictionaries(
    text,
    st.recursive(
        st.none() | st.booleans() | number | figure | text, lambda inner: st.lists(inner, max_size=3)
    ),
    max_size=4,
)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ledger]:
    with Ledger.create(tmp_path_factory.mktemp("shared") / "ledger.sqlite", {}) as ledger:
        yield ledger


@settings(deadline=None)
@given(bodies, outcomes)
def test_every_outcome_and_body_survives(shared: Ledger, body: dict[str, object], outcome: Outcome) -> None:
    key = str(len(shared.outcomes()))
    shared.record_outcome(key, body, outcome)
    shared.record("note", body)
    assert shared.outcome(key) == outcome
    assert shared.outcomes()[-1] == (key, body, outcome)
    assert shared.events("note")[-1] == body


def test_kill_loses_nothing_acknowledged(path: Path) -> None:
    acknowledged: set[int] = set()
    for round_ in range(6):
        writer = start(WRITER, path)
        assert writer.stdout is not None
        acknowledged |= {int(writer.stdout.readline()) for _ in range(1 + 37 * round_)}
        os.kill(writer.pid, signal.SIGKILL)
        acknowledged |= {int(line) for line in writer.stdout if line.endswith("\n")}
        writer.stdout.close()
        writer.wait()
        with Ledger.read(path) as ledger:
            assert acknowledged <= set(ledger.births())
        with Ledger.open(path) as ledger:
            ended = {key: outcome for key, _, outcome in ledger.outcomes()}
        assert all(ended[f"key-{number}"] == TimedOut(seconds=float(number)) for number in acknowledged)


def test_a_second_driver_is_refused_while_the_first_lives(path: Path) -> None:
    writer = start(WRITER, path)
    assert writer.stdout is not None
    writer.stdout.readline()
    with pytest.raises(LedgerError, match=rf"in use by another run \(process {writer.pid}\)"):
        Ledger.open(path)
    with pytest.raises(LedgerError, match="in use"):
        Ledger.create(path, {})
    writer.kill()
    writer.wait()
    writer.stdout.close()
    Ledger.open(path).close()


def test_a_reader_sees_one_moment_and_hinders_nobody(path: Path) -> None:
    with Ledger.open(path) as driver, Ledger.read(path) as reader:
        driver.record_birth(0, {})
        assert reader.births() == {}
        with Ledger.read(path) as later:
            assert later.births() == {0: {}}


def test_a_ledger_is_made_once(path: Path) -> None:
    with pytest.raises(LedgerError, match="exists already"):
        Ledger.create(path, {"seed": 2})
    with Ledger.read(path) as ledger:
        assert ledger.settings == SETTINGS


def test_nothing_of_a_removed_ledger_comes_back(path: Path) -> None:
    writer = start(WRITER, path)
    assert writer.stdout is not None
    writer.stdout.readline()
    writer.kill()
    writer.wait()
    writer.stdout.close()
    assert path.with_name("ledger.sqlite-wal").exists()
    path.unlink()
    with Ledger.create(path, {"seed": 2}) as ledger:
        assert (ledger.settings, ledger.births()) == ({"seed": 2}, {})


def test_settings_that_are_not_json_leave_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(TypeError):
        Ledger.create(tmp_path / "ledger.sqlite", {"path": tmp_path})
    assert not (tmp_path / "ledger.sqlite").exists()


@pytest.mark.parametrize("use", [Ledger.open, Ledger.read])
class TestWhatCannotBeOpened:
    def test_missing(self, use: Callable[[Path], Ledger], tmp_path: Path) -> None:
        with pytest.raises(LedgerError, match="there is no ledger at"):
            use(tmp_path / "ledger.sqlite")
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize("content", [b"", b"generations: 20\n" * 100])
    def test_another_file(self, use: Callable[[Path], Ledger], content: bytes, tmp_path: Path) -> None:
        path = tmp_path / "ledger.sqlite"
        path.write_bytes(content)
        with pytest.raises(LedgerError, match="is not a ledger"):
            use(path)
        assert path.read_bytes() == content

    def test_another_database(self, use: Callable[[Path], Ledger], tmp_path: Path) -> None:
        path = tmp_path / "ledger.sqlite"
        sqlite3.connect(path).execute("CREATE TABLE event (id)").connection.close()
        with pytest.raises(LedgerError, match="is not a ledger"):
            use(path)

    def test_another_version(self, use: Callable[[Path], Ledger], path: Path) -> None:
        database = sqlite3.connect(path)
        database.execute("PRAGMA user_version = 99")
        database.close()
        with pytest.raises(LedgerError, match="schema version 99, and this Foundry reads version 4"):
            use(path)

    def test_damaged_in_the_middle(self, use: Callable[[Path], Ledger], path: Path) -> None:
        fill(path, 200)
        content = bytearray(path.read_bytes())
        content[8192:-4096] = b"\xff" * (len(content) - 12288)
        path.write_bytes(content)
        with pytest.raises(LedgerError, match="damaged"):
            use(path)

    def test_cut_short(self, use: Callable[[Path], Ledger], path: Path) -> None:
        fill(path, 200)
        os.truncate(path, path.stat().st_size // 2)
        with pytest.raises(LedgerError, match="damaged"):
            use(path)


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match="No such file or directory"):
        Ledger.create(tmp_path / "nowhere" / "ledger.sqlite", {})


def test_a_full_disk_is_told_in_one_sentence_and_loses_nothing(path: Path) -> None:
    script = """
import resource, sys
from population.ledger import Ledger, LedgerError
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
ledger = Ledger.open(sys.argv[1])
try:
    for number in range(100_000):
        ledger.record_birth(number, {"filler": "x" * 500})
except LedgerError as error:
    print(number, str(error), flush=True)
"""
    writer = start(script, path)
    told, _ = writer.communicate()
    count, _, sentence = told.strip().partition(" ")
    assert sentence.startswith(f"{path} cannot be used: ")
    with Ledger.open(path) as ledger:
        assert list(ledger.births()) == list(range(int(count)))
    assert int(count) > 10


def test_the_table_only_grows(path: Path) -> None:
    fill(path, 1)
    database = sqlite3.connect(path)
    for statement in ("UPDATE event SET body = '{}'", "DELETE FROM event"):
        with pytest.raises(sqlite3.IntegrityError, match="only grows"):
            database.execute(statement)
    database.close()


def test_rows_carry_a_number_a_time_and_sorted_json(path: Path) -> None:
    with Ledger.open(path) as ledger:
        ledger.record("stopped", {"b": math.inf, "a": 1})
    database = sqlite3.connect(path)
    row = database.execute("SELECT id, at GLOB '20??-??-??T??:??:??.???Z', body FROM event").fetchall()[-1]
    database.close()
    assert row == (2, 1, json.dumps({"a": 1, "b": math.inf}))
