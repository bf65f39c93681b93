"""Within bubblewrap: what is not named is not written, what is hidden is not seen, no one is reached."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from sandbox_helpers import ROOT, gone, needs_bubblewrap

from foundry.sandbox import bubblewrap

pytestmark = needs_bubblewrap
INSIDE = Path(__file__).parent / "bubble_inside.py"


class Bubble:
    """A process that does what it is asked to, within bubblewrap or not."""

    def __init__(self, around: Sequence[str] | None = None, **paths: list[Path]) -> None:
        self._connection, theirs = socket.socketpair()
        with theirs:
            command = [sys.executable, "-P", str(INSIDE), str(theirs.fileno())]
            if around is None:
                command = bubblewrap.around(command, **paths)
            self.process = subprocess.Popen(
                command, pass_fds=[theirs.fileno()], env={**os.environ, "PYTHONPATH": str(ROOT)}
            )
        self._lines = self._connection.makefile("rw")

    def __call__(self, act: str, argument: object = "") -> Any:
        self._lines.write(json.dumps([act, str(argument)]) + "\n")
        self._lines.flush()
        return json.loads(self._lines.readline())

    def __enter__(self) -> Bubble:
        return self

    def __exit__(self, *_: object) -> None:
        self._lines.close()
        self._connection.close()
        self.process.wait()


@pytest.fixture
def place(tmp_path: Path) -> Path:
    for name in ("writable/secret", "hidden/writable", "outside"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "file").write_text("theirs")
    (tmp_path / "hidden" / "file").write_text("theirs")
    return tmp_path


@pytest.fixture
def bubble(place: Path) -> Iterator[Bubble]:
    writable = [place / "writable", place / "hidden" / "writable"]
    hidden = [place / "hidden", place / "writable" / "secret", place / "outside" / "file", place / "absent"]
    with Bubble(writable=writable, hidden=hidden) as opened:
        yield opened


@pytest.fixture
def outside() -> Iterator[Bubble]:
    with Bubble(around=()) as opened:
        yield opened


def test_only_what_is_named_can_be_written(bubble: Bubble, outside: Bubble, place: Path) -> None:
    forbidden = [place / "outside" / "new", place / "new", place / "hidden" / "new", Path("/etc/foundry")]
    for path in forbidden:
        assert bubble("write", path) == "OSError", path  # read-only
        assert not path.exists()
    assert outside("write", forbidden[0]) == 4
    for path in (place / "writable" / "file", place / "hidden" / "writable" / "file"):
        assert bubble("write", path) == 4
        assert path.read_text() == "mine"


def test_what_is_hidden_is_not_there(bubble: Bubble, outside: Bubble, place: Path) -> None:
    assert bubble("list", place / "hidden") == ["writable"]
    assert bubble("list", place / "writable" / "secret") == []
    assert bubble("read", place / "hidden" / "file") == "FileNotFoundError"
    assert bubble("read", place / "outside" / "file") != "theirs"
    assert outside("read", place / "outside" / "file") == "theirs"
    assert bubble("read", place / "hidden" / "writable" / "file") == "theirs"


def test_python_and_this_package_stay_when_they_lie_below_what_is_hidden() -> None:
    with Bubble(hidden=[ROOT.parent], readable=[INSIDE.parent]) as bubble:
        assert bubble("list", ROOT / "foundry" / "sandbox")
        seen = bubble("list", ROOT.parent)
        pythons = {
            path.relative_to(ROOT.parent).parts[0] for path in _pythons() if ROOT.parent in path.parents
        }
        assert set(seen) == {ROOT.name, *pythons}


def _pythons() -> list[Path]:
    return [Path(folder).resolve() for folder in (sys.prefix, sys.base_prefix, *sys.path) if folder]


def test_nobody_outside_is_reached_or_seen(bubble: Bubble, outside: Bubble) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        assert outside("connect", port) is None
        assert bubble("connect", port) == "ConnectionRefusedError"
    assert outside("see", outside.process.pid)
    assert not bubble("see", outside.process.pid)


def test_a_process_knows_where_it_is(bubble: Bubble, outside: Bubble) -> None:
    assert bubble("around")
    assert not outside("around")


def test_namespaces_can_be_made_within(bubble: Bubble) -> None:
    assert bubble("prepare")
    assert bubble("around")


def test_it_ends_with_who_started_it(place: Path) -> None:
    script = f"""
import subprocess, sys, time
sys.path.insert(0, {str(ROOT)!r})
from foundry.sandbox import bubblewrap
code = 'import sys; sys.stdin.read()'
inner = subprocess.Popen(bubblewrap.around([sys.executable, '-c', code]), stdin=subprocess.PIPE)
print(inner.pid, flush=True)
time.sleep(3600)
"""
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as starter:
        assert starter.stdout
        pid = int(starter.stdout.readline())
        starter.send_signal(signal.SIGKILL)
    assert gone(pid)
