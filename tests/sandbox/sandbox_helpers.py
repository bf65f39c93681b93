"""Acts that a hostile candidate would try, in real processes, with and without what should stop them."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from foundry.sandbox import family, landlock, level

ROOT = Path(__file__).parents[2]
DONE = "done"

needs_linux = pytest.mark.skipif(sys.platform != "linux", reason="Linux alone has what is tested")
needs_landlock = pytest.mark.skipif(bool(why := level.missing("landlock")), reason=why)
needs_bubblewrap = pytest.mark.skipif(bool(why := level.missing("bwrap")), reason=why)
needs_namespaces = pytest.mark.skipif(not family.namespaces_work(), reason="no PID namespaces here")
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="root alone can become somebody else")


def needs_abi(version: int) -> pytest.MarkDecorator:
    """Skip where Landlock is older than that."""
    return pytest.mark.skipif(landlock.abi() < version, reason=f"Landlock before ABI {version}")


def attempt(act: Callable[[], object], *, after: Callable[[], object] = lambda: None) -> str:
    """Do something in a child, after something else; return `DONE` or the name of what was raised.

    What `after` raises is an error of the test. A child that was killed gives the number of the signal.
    """
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        said = ""
        try:
            after()
            said = _said(act)
        except BaseException as error:
            said = f"before the act: {error!r}"
        finally:
            os.write(writer, said.encode())
            os._exit(0)
    os.close(writer)
    with open(reader) as answer:
        said = answer.read()
    status = os.waitpid(pid, 0)[1]
    assert not said.startswith("before"), said
    return said or str(-os.waitstatus_to_exitcode(status))


def _said(act: Callable[[], object]) -> str:
    try:
        act()
    except BaseException as error:
        return type(error).__name__
    return DONE


def started(script: Path, *arguments: object, within: Sequence[str] = ()) -> subprocess.Popen[str]:
    """Start a script with Python; `within` goes before the command line."""
    command = [*within, sys.executable, "-P", str(script), *map(str, arguments)]
    path = os.pathsep.join([str(ROOT), str(Path(__file__).parent)])
    return subprocess.Popen(
        command,
        env={**os.environ, "PYTHONPATH": path},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def gone(pid: int) -> bool:
    """Wait until a process has ended, or nobody but its parent has yet to hear of it."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if not alive(pid):
            return True
        time.sleep(0.005)
    return False


def alive(pid: int) -> bool:
    """Tell a process that may still act from one that has ended."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in "ZX"
