"""Landlock: what is not on the list is out of reach, and every act succeeds without it."""

from __future__ import annotations

import os
import signal
import socket
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sandbox_helpers import DONE, attempt, needs_abi, needs_landlock

from foundry.sandbox import landlock, privileges

pytestmark = needs_landlock


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with one that may be read, one that may be written, and one that is nobody's business."""
    for name in ("readable", "writable", "outside"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(name)
    return tmp_path


def restricted(place: Path) -> Callable[[], None]:
    def restrict() -> None:
        privileges.drop()
        landlock.restrict([place / "readable"], [place / "writable"])

    return restrict


FORBIDDEN: dict[str, Callable[[Path], object]] = {
    "read outside": lambda place: (place / "outside" / "file").read_text(),
    "read through a link": lambda place: (place / "writable" / ".." / "outside" / "file").read_text(),
    "list outside": lambda place: os.listdir(place / "outside"),
    "list above": lambda place: os.listdir(place),
    "write outside": lambda place: (place / "outside" / "file").write_text("mine"),
    "empty outside": lambda place: os.close(os.open(place / "outside" / "file", os.O_WRONLY | os.O_TRUNC)),
    "create outside": lambda place: (place / "outside" / "new").touch(),
    "remove outside": lambda place: (place / "outside" / "file").unlink(),
    "make a folder outside": lambda place: (place / "outside" / "folder").mkdir(),
    "bring in from outside": lambda place: os.rename(place / "outside" / "file", place / "writable" / "mine"),
    "carry out": lambda place: os.rename(place / "writable" / "file", place / "outside" / "theirs"),
    "link to outside": lambda place: os.link(place / "outside" / "file", place / "writable" / "mine"),
    "leave a symbolic link": lambda place: os.symlink(place / "outside", place / "writable" / "mine"),
    "leave a pipe": lambda place: os.mkfifo(place / "writable" / "pipe"),
    "write what is readable": lambda place: (place / "readable" / "file").write_text("mine"),
    "create where it is readable": lambda place: (place / "readable" / "new").touch(),
    "execute": lambda _: os.execv("/bin/true", ["true"]),
}
ALLOWED: dict[str, Callable[[Path], object]] = {
    "read": lambda place: (place / "readable" / "file").read_text(),
    "list": lambda place: os.listdir(place / "readable"),
    "read what is writable": lambda place: (place / "writable" / "file").read_text(),
    "write": lambda place: (place / "writable" / "file").write_text("mine"),
    "replace": lambda place: os.replace(place / "writable" / "file", place / "writable" / "other"),
    "make a folder": lambda place: (place / "writable" / "folder").mkdir(),
    "use /dev/null": lambda _: Path("/dev/null").write_bytes(b"0"),
    "use /dev/urandom": lambda _: os.close(os.open("/dev/urandom", os.O_RDONLY)),
    "learn the kind of processor": lambda _: Path("/proc/cpuinfo").read_text(),
}


@pytest.mark.parametrize("name", FORBIDDEN)
def test_what_is_not_allowed_fails_and_works_without(name: str, place: Path) -> None:
    def act() -> object:
        return FORBIDDEN[name](place)

    kept = {path: path.read_bytes() for path in place.rglob("file")}
    said = attempt(act, after=restricted(place))
    assert said in ("PermissionError", "OSError"), said  # EXDEV for what would cross a border
    assert {path: path.read_bytes() for path in place.rglob("file")} == kept
    assert attempt(act) in (DONE, "0")  # execute: the other program's own end


@pytest.mark.parametrize("name", ALLOWED)
def test_what_is_allowed_works(name: str, place: Path) -> None:
    assert attempt(lambda: ALLOWED[name](place), after=restricted(place)) == DONE


def test_a_second_call_takes_away_and_never_gives_back(place: Path) -> None:
    def twice() -> None:
        restricted(place)()
        landlock.restrict([place], [])

    assert attempt(lambda: ALLOWED["read"](place), after=twice) == DONE
    assert attempt(lambda: ALLOWED["write"](place), after=twice) == "PermissionError"
    assert attempt(lambda: FORBIDDEN["read outside"](place), after=twice) == "PermissionError"


def test_names_alone_may_be_listed(place: Path) -> None:
    def listing() -> None:
        privileges.drop()
        landlock.restrict([place / "readable"], [], listable=[place])

    assert attempt(lambda: os.listdir(place / "outside"), after=listing) == DONE
    assert attempt(lambda: ALLOWED["read"](place), after=listing) == DONE
    assert attempt(lambda: FORBIDDEN["read outside"](place), after=listing) == "PermissionError"


@needs_abi(4)
def test_no_tcp(place: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        address = listening.getsockname()
        assert attempt(lambda: socket.create_connection(address, 5)) == DONE
        assert attempt(lambda: socket.create_connection(address, 5), after=restricted(place)) == (
            "PermissionError"
        )
    assert (
        attempt(lambda: socket.create_server(("127.0.0.1", 0)), after=restricted(place)) == "PermissionError"
    )


@needs_abi(6)
def test_no_abstract_socket_of_others(place: Path) -> None:
    def connect() -> None:
        with socket.socket(socket.AF_UNIX) as connecting:
            connecting.connect(name)

    name = f"\0{place}"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(name)
        listening.listen()
        assert attempt(connect) == DONE
        assert attempt(connect, after=restricted(place)) == "PermissionError"


@needs_abi(6)
def test_no_signal_to_others(place: Path) -> None:
    parent = os.getpid()
    heard: list[int] = []
    before = signal.signal(signal.SIGUSR1, lambda number, _: heard.append(number))
    try:
        assert attempt(lambda: os.kill(parent, signal.SIGUSR1), after=restricted(place)) == "PermissionError"
        assert heard == []
        assert attempt(lambda: os.kill(parent, signal.SIGUSR1)) == DONE
        assert heard == [signal.SIGUSR1]
    finally:
        signal.signal(signal.SIGUSR1, before)


NAMES = st.sampled_from("abc")
PATHS = st.lists(NAMES, min_size=1, max_size=4).map(lambda parts: Path(*parts, "leaf"))


@given(files=st.sets(PATHS, min_size=1, max_size=8), data=st.data())
def test_all_but_the_hidden_is_left(files: set[Path], data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder).resolve()
        for file in files:
            (root / file).parent.mkdir(parents=True, exist_ok=True)
            (root / file).touch()
        everything = sorted(root.rglob("*"))
        hidden = data.draw(st.sets(st.sampled_from(everything), max_size=3))
        left = landlock.except_for(root, hidden)
        for file in (root / file for file in files):
            seen = [path for path in left if path == file or path in file.parents]
            under = {file, *file.parents} & hidden
            assert len(seen) == (0 if under else 1)
