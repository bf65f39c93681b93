"""Find a repository that may serve as an arena, or make one."""

import os
import re
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from genome.command import Git, call, fixed_environment, users_environment
from genome.failures import DOCTOR, ArenaError, explain, writing_to

_OLDEST = (2, 28)
_UNDER_WAY = {
    "MERGE_HEAD": "merge",
    "rebase-merge": "rebase",
    "rebase-apply": "rebase",
    "CHERRY_PICK_HEAD": "cherry-pick",
    "REVERT_HEAD": "revert",
    "BISECT_LOG": "bisect",
}
_CONFIG = """\
[gc]
\tauto = 0
[core]
\tautocrlf = false
[foundry]
\tarena = true
"""


@dataclass(frozen=True, kw_only=True)
class Repository:
    """Where a repository lies; `ours` if Foundry made it as an arena, with `main` and a work tree to fill."""

    directory: Path  # the common git directory, shared by all linked worktrees
    ours: bool


def find_repository(path: Path) -> Repository:
    """Find the repository at `path`, never one around it; ArenaError says why it cannot be an arena."""
    _check_version()
    path = _absolute(path)
    if not path.is_dir():
        raise ArenaError(f"{path} is not a folder: give --arena a git repository, or a new path for one")
    questions = ("--absolute-git-dir", "--git-common-dir", "--show-object-format", "--show-prefix")
    done = call(["-C", str(path), "rev-parse", *questions], environment=users_environment())
    if done.returncode != 0:
        complaint = os.fsdecode(done.stderr)
        if "not a git repository" in complaint and (path / ".git" / "objects").is_dir():
            raise ArenaError(f"git does not know {path} for a repository any more: {DOCTOR}")
        if "not a git repository" in complaint:
            raise ArenaError(f"{path} is not a git repository: run git init there, or choose another arena")
        raise ArenaError(f"git does not open {path}: {' '.join(complaint.split())}")
    own, common, hashing, prefix = os.fsdecode(done.stdout).split("\n")[:4]
    if prefix:
        raise ArenaError(
            f"{path} is a folder inside the repository {own}: give --arena the repository itself"
        )
    directory = (path / common).resolve()
    if hashing != "sha1":
        raise ArenaError(f"{path} names its objects by {hashing}, Foundry by sha1: choose another arena")
    _check_idle(path, Path(own))
    _check_access(directory)
    return Repository(directory=directory, ours=_is_ours(directory))


def locate_repository(path: Path) -> Repository:
    """Find a repository by its files, for repairs: git itself may no longer know it for one.

    Raises:
        ArenaError: nothing there looks like a repository.
    """
    path = _absolute(path)
    found = path / ".git"
    if found.is_file() and (link := re.fullmatch(r"gitdir: (.+)\n?", found.read_text(errors="replace"))):
        found = path / link[1]  # a linked worktree, which says where the repository lies
        common = found / "commondir"
        found = (found / common.read_text().strip()) if common.is_file() else found
    elif not found.is_dir():
        found = path
    parts = sum((found / name).exists() for name in ("HEAD", "objects", "refs", "config"))
    if parts < 2:
        raise ArenaError(f"{path} is not a git repository: there is no arena to examine")
    return Repository(directory=found.resolve(), ours=_says_ours(found / "config"))


def make_repository(path: Path) -> Repository:
    """Make an arena at `path`, which must not exist or be an empty folder; all of it or nothing."""
    _check_version()
    path = _absolute(path)
    with writing_to(path):
        if path.exists() and not (path.is_dir() and not any(path.iterdir())):
            raise ArenaError(f"{path} exists and is not empty: go on with its run, or choose another arena")
        made = [folder for folder in path.parents if not folder.exists()]
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=".foundry-", dir=path.parent) as scratch:
                _initialise(Path(scratch) / "arena")
                os.rename(Path(scratch) / "arena", path)
        except BaseException:
            for folder in made:  # innermost first, and only if nobody else has put something there
                with suppress(OSError):
                    folder.rmdir()
            raise
    return Repository(directory=(path / ".git").resolve(), ours=True)


def fill_work_tree(git: Git, commit: str) -> None:
    """Check `commit` out into the work tree of an arena that Foundry made, over whatever lies there.

    The index is made aside and moved into place: a process killed here leaves no index.lock behind.
    """
    directory = git.directory
    with writing_to(directory), tempfile.TemporaryDirectory(prefix="index-", dir=directory) as scratch:
        index = Path(scratch) / "index"
        extra = {"GIT_INDEX_FILE": str(index), "GIT_WORK_TREE": str(directory.parent)}
        git.run("read-tree", "--reset", "-u", commit, extra=extra)
        os.replace(index, directory / "index")


def _initialise(path: Path) -> None:
    command = ["init", "--quiet", "--template=", "--initial-branch=main", "--object-format=sha1", str(path)]
    done = call(command, environment=fixed_environment())
    if done.returncode != 0:
        raise ArenaError(explain(os.fsdecode(done.stderr), command="init", place=path))
    with (path / ".git" / "config").open("a", encoding="utf-8") as config:
        config.write(_CONFIG)


def _is_ours(directory: Path) -> bool:
    return Git(directory).run("config", "--local", "--default=false", "--get", "foundry.arena") == b"true\n"


def _says_ours(config: Path) -> bool:
    """Ask for the mark of our own arenas where there may be no repository that git would open."""
    if not config.is_file():
        return False
    asked = ["config", f"--file={config.resolve()}", "--default=false", "--get", "foundry.arena"]
    return call(asked, environment=fixed_environment()).stdout == b"true\n"


def _absolute(path: Path) -> Path:
    absolute = path.absolute()
    if "\n" in str(absolute):  # git's answers are read by lines
        raise ArenaError(f"{str(path)!r} has a line break in its name: choose another arena")
    return absolute


def _check_version() -> None:
    reported = os.fsdecode(call(["version"], environment=fixed_environment()).stdout).strip()
    found = re.search(r"(\d+)\.(\d+)", reported)
    if not found or (int(found[1]), int(found[2])) < _OLDEST:
        raise ArenaError(f"{reported or 'git'} is too old: install git 2.28 or newer")


def _check_idle(path: Path, own: Path) -> None:
    for trace, what in _UNDER_WAY.items():
        if (own / trace).exists():
            end = "git bisect reset" if what == "bisect" else f"git {what} --continue or git {what} --abort"
            raise ArenaError(f"{path} is in the middle of a {what}: end it first ({end})")


def _check_access(directory: Path) -> None:
    for part in (directory, directory / "objects", directory / "refs"):
        if not os.access(part, os.R_OK | os.W_OK | os.X_OK):
            raise ArenaError(f"cannot write to {part}: make it writable, or choose another arena")
