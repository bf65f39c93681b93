"""Children that die whole: with PID namespaces and without, and what happens without either."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sandbox_helpers import (
    DONE,
    alive,
    attempt,
    gone,
    needs_bubblewrap,
    needs_linux,
    needs_namespaces,
    needs_root,
    started,
)

from foundry.sandbox import family, system

pytestmark = needs_linux
SERVER = Path(__file__).parent / "family_server.py"
# Nothing but the making of namespaces is denied in there, as some containers do.
NO_NAMESPACES = (
    "bwrap",
    "--unshare-user",
    "--disable-userns",
    "--cap-drop",
    "ALL",
    "--dev-bind",
    "/",
    "/",
    "--",
)


class Server:
    """The driver's end of family_server.py; every number noted ends with the test."""

    def __init__(self, notes: Path, how: str, *within: str) -> None:
        self.notes = notes
        self.process = started(SERVER, notes, how, within=within)
        self.namespaces, self.number = self._answer()

    def __call__(self, request: str) -> int:
        assert self.process.stdin
        self.process.stdin.write(request + "\n")
        self.process.stdin.flush()
        answer = self._answer()
        return answer if isinstance(answer, int) else 0

    def noted(self, kind: str) -> int:
        """Wait for a child's number, as the whole machine sees it, or for another number that it notes."""
        deadline = time.monotonic() + 20
        while not (self.notes / kind).exists():
            assert time.monotonic() < deadline, f"no news of {kind}"
            time.sleep(0.002)
        return int((self.notes / kind).read_text())

    def _answer(self) -> Any:
        assert self.process.stdout
        return json.loads(self.process.stdout.readline() or "null")

    def close(self) -> None:
        """End the server, and whatever has outlived it."""
        self.process.kill()
        self.process.wait()
        for path in [note for note in self.notes.iterdir() if note.suffix != ".part"]:
            if str(self.notes) in _command(pid := int(path.read_text())):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        for stream in (self.process.stdin, self.process.stdout):
            assert stream
            stream.close()


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""


@contextlib.contextmanager
def serving(notes: Path, how: str, *within: str) -> Iterator[Server]:
    server = Server(notes, how, *within)
    try:
        yield server
    finally:
        server.close()


@pytest.fixture(
    params=[
        pytest.param((), id="namespaces", marks=needs_namespaces),
        pytest.param(NO_NAMESPACES, id="no-namespaces", marks=needs_bubblewrap),
    ]
)
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    with serving(tmp_path, "prepare", *request.param) as opened:
        assert opened.namespaces == (not request.param)
        yield opened


@pytest.fixture
def apart(tmp_path: Path) -> Iterator[Server]:
    with serving(tmp_path, "prepare") as opened:
        yield opened


@pytest.mark.parametrize("kind", ["stays", "escapes"])
def test_a_child_ends_with_all_that_it_started(server: Server, kind: str) -> None:
    pid = server(f"fork {kind}")
    family_of_it = [server.noted(kind)] + ([server.noted(f"{kind}-escaped")] if kind == "escapes" else [])
    assert all(map(alive, family_of_it))
    server(f"end {pid}")
    assert all(map(gone, family_of_it))
    assert server(f"reap {pid}") == -signal.SIGKILL


def test_ending_a_group_leaves_who_has_left_it(tmp_path: Path) -> None:
    with serving(tmp_path, "plain") as server:
        pid = server("kin escapes")
        leader, escaped = server.noted("escapes"), server.noted("escapes-escaped")
        server(f"group {pid}")
        assert gone(leader)
        assert alive(escaped)


def test_what_a_child_leaves_behind_ends_when_it_is_reaped(server: Server) -> None:
    pid = server("fork leaves")
    escaped = server.noted("leaves-escaped")
    assert server(f"reap {pid}") == 5
    assert gone(escaped)


def test_others_live_on(server: Server) -> None:
    kin = server("kin kin")
    first, second = server("fork escapes-1"), server("fork escapes-2")
    numbers = [server.noted(name) for name in ("kin", "escapes-2")]
    server.noted("escapes-1-escaped")
    server(f"end {first}")
    assert gone(server.noted("escapes-1-escaped"))
    assert all(map(alive, numbers))
    server(f"end {second}")
    assert gone(numbers[1])
    assert kin
    assert alive(numbers[0])


def test_ending_twice_or_too_late_is_harmless(server: Server) -> None:
    pid, other = server("fork stays"), server("fork other")
    for _ in range(2):
        server(f"end {pid}")
    assert server(f"reap {pid}") == -signal.SIGKILL
    server(f"end {pid}")
    assert other
    assert alive(server.noted("other"))


@needs_namespaces
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_nothing_outlives_the_process_that_the_driver_started(apart: Server, how: signal.Signals) -> None:
    apart("fork escapes")
    numbers = [apart.noted("escapes"), apart.noted("escapes-escaped")]
    apart.process.send_signal(how)
    assert all(map(gone, numbers))


@needs_namespaces
def test_nothing_outlives_the_server(apart: Server) -> None:
    apart("fork escapes")
    numbers = [apart.noted("escapes"), apart.noted("escapes-escaped")]
    os.kill(apart.number, signal.SIGKILL)
    assert all(map(gone, numbers))
    assert apart.process.wait() == -signal.SIGKILL


def test_a_child_dies_with_its_server(server: Server) -> None:
    server("fork stays")
    number = server.noted("stays")
    os.kill(server.number, signal.SIGKILL)
    assert gone(number)


def test_a_plain_child_outlives_its_server(tmp_path: Path) -> None:
    with serving(tmp_path, "plain") as server:
        server("kin stays")
        number = server.noted("stays")
        os.kill(server.number, signal.SIGKILL)
        server.process.wait()
        assert alive(number)


@needs_namespaces
def test_a_child_is_the_first_of_its_namespace_and_sees_nobody_else(apart: Server) -> None:
    assert apart("reap " + str(apart("fork number"))) == 1
    other = apart("fork other")
    apart("fork signals")
    assert apart.noted("signals") == 3  # no such process
    assert other
    assert alive(apart.noted("other"))


@pytest.mark.parametrize(("request_", "status"), [("exit 3", 3), ("exit 0", 0), ("fail", -signal.SIGSEGV)])
def test_the_server_ends_as_it_would_have(server: Server, request_: str, status: int) -> None:
    shell = 128 - status if status < 0 and not server.namespaces else status  # as bubblewrap tells it
    assert server(request_) == 0
    assert server.process.wait() == shell


@needs_root
@needs_namespaces
def test_an_ordinary_user_has_namespaces_too() -> None:
    def become_somebody() -> None:
        os.setresgid(65534, 65534, 65534)
        os.setresuid(65534, 65534, 65534)
        system.prctl(system.PR_SET_DUMPABLE, 1)  # as after exec

    def check() -> None:
        assert family.namespaces_work()

    assert attempt(check, after=become_somebody) == DONE
