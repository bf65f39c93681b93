"""The levels of isolation, and which of them this machine can keep: found by trying each.

A level holds all that the weaker ones do. "process": a process tree that dies whole, with limits. "landlock":
besides, an allow-list of files, no system calls that a model does not need, no privileges. "bwrap": besides,
the server of trials itself within bubblewrap.
"""

from __future__ import annotations

import functools
import shutil
import subprocess
from pathlib import Path

from foundry.errors import UserError, unknown
from foundry.sandbox import bubblewrap, landlock, privileges, seccomp, syscalls, system
from foundry.sandbox.attempt import complaint_about

LEVELS = ("process", "landlock", "bwrap")  # weakest first


def available() -> tuple[str, ...]:
    """Return the levels that this machine can keep, weakest first."""
    return tuple(level for level in LEVELS if not missing(level))


def choose(asked: str) -> str:
    """Return the level to use: the one asked for, or for "auto" the strongest that there is.

    Raises:
        UserError: there is no such level, or this machine cannot keep it.
    """
    strongest = available()[-1]
    if asked == "auto":
        return strongest
    if asked not in LEVELS:
        raise unknown("sandbox", asked, ("auto", *LEVELS))
    if why := missing(asked):
        raise UserError(f"--sandbox {asked} cannot be had: {why}; --sandbox auto would take {strongest}")
    return asked


def shortfall(level: str) -> str:
    """Say in one sentence why trials run under no stronger level than this; nothing at the strongest."""
    stronger = LEVELS[LEVELS.index(level) + 1 :]
    if not stronger:
        return ""
    reasons = [why for name in stronger if (why := missing(name))]
    why = reasons[0] if reasons else f"{stronger[-1]} was not asked for"
    return f"{why}; trials run under {level}"


@functools.cache
def missing(level: str) -> str:
    """Say what is missing for a level, with the remedy if there is one; nothing if it can be kept."""
    if level == "landlock":
        return _missing_for_landlock()
    if level == "bwrap":
        return missing("landlock") or _missing_for_bubblewrap()
    return ""


def _missing_for_landlock() -> str:
    if not system.LINUX:
        return "Landlock exists on Linux alone"
    if system.machine() not in syscalls.ARCHITECTURES:
        return f"there is no list of system calls for {system.machine()}"
    if not landlock.abi():
        return "there is no Landlock here (it takes Linux 5.13, enabled at boot, allowed by the container)"
    complaint = complaint_about(_try_landlock)
    return f"the layers of landlock do not hold here ({complaint})" if complaint else ""


def _try_landlock() -> None:
    privileges.drop()
    landlock.restrict([], [])
    seccomp.install()
    assert not _can_list(Path("/"))


def _can_list(folder: Path) -> bool:
    try:
        return bool(list(folder.iterdir()))
    except PermissionError:
        return False


def _missing_for_bubblewrap() -> str:
    if shutil.which("bwrap") is None:
        return "bubblewrap is not installed (most systems have a package of that name)"
    command = bubblewrap.around(["true"])
    tried = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if tried.returncode == 0:
        return ""
    said = tried.stderr.strip().splitlines()[-1:] or [f"status {tried.returncode}"]
    return f"bubblewrap does not run here ({said[0]}; it needs user namespaces)"
