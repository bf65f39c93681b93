"""What processes that were killed leave in a repository: locks, and files that never got their names."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from genome.failures import writing_to
from genome.fault import Fault
from genome.objects import UNFINISHED

_LOCKS = (
    "*.lock",
    "packed-refs.new",
    "refs/**/*.lock",
    "logs/**/*.lock",
    "objects/**/*.lock",
    "worktrees/*/*.lock",
)
_UNFINISHED = (
    UNFINISHED,
    "objects/??/tmp_obj*",
    "objects/incoming-*",
    "objects/pack/tmp_*",
    "objects/pack/.tmp-*",
    "index-*",
)
_STATE = "foundry"


def faults(directory: Path) -> Iterator[Fault]:
    """Find what nobody will finish; to be asked only where no run of ours is at work."""
    at_work = git_processes(directory)
    for path in _found(directory, _LOCKS):
        what = f"{path.relative_to(directory)} is locked"
        if at_work:
            yield Fault(what=what, remedy=f"git is at work there (process {at_work[0]}): wait for it")
        else:
            yield Fault(
                what=f"{what}, and no git is at work: one was killed",
                remedy="remove the lock",
                mend=partial(_remove, path),
            )
    if not at_work:
        for path in _found(directory, _UNFINISHED):
            yield Fault(
                what=f"{path.relative_to(directory)} was never finished",
                remedy="remove it",
                mend=partial(_remove, path),
            )


def git_processes(directory: Path) -> list[int]:
    """List the git commands that are running in a repository; none are known where there is no /proc."""
    place = directory.parent if directory.name == ".git" else directory
    return [int(entry.name) for entry in sorted(Path("/proc").glob("[0-9]*")) if _works_in(entry, place)]


def _works_in(process: Path, place: Path) -> bool:
    try:
        is_git = (process / "comm").read_text().startswith("git")
        return is_git and (process / "cwd").readlink().is_relative_to(place)
    except OSError:  # it has ended, or is another user's
        return False


def _found(directory: Path, patterns: tuple[str, ...]) -> list[Path]:
    paths = {path for pattern in patterns for path in directory.glob(pattern)}
    return sorted(path for path in paths if _STATE not in path.relative_to(directory).parts[:1])


def _remove(path: Path) -> None:
    with writing_to(path):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
