"""What the processes of candidates may touch."""

from __future__ import annotations

import math
import os
import shutil
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

from foundry.sandbox import confine, landlock, rlimits
from foundry.training import experiment
from foundry.trial.job import WEIGHTS, Job, Limits

_PACKAGE = Path(__file__).parents[1]
_CORPUS = _PACKAGE / "data" / "corpus"
_LIBRARIES = ("/usr/lib", "/lib", "/lib64")
_OPEN_FILES = 256
_GRACE = 5  # seconds of CPU beyond the wall clock: that ends a trial first


class Confinement:
    """One level of the sandbox, for all trials of a server."""

    def __init__(self, level: str, numbers_hold: bool) -> None:
        self.level = level
        self.numbers_hold = numbers_hold  # whether process numbers here mean the same outside
        self.code = _code()  # for whoever is forked from here

    def enter(
        self,
        job: Job,
        limits: Limits,
        *,
        checkpoints: Path,
        temporary: Path,
        trains: bool,
        keep: Iterable[int],
    ) -> None:
        """Confine this process for good.

        Who trains may write, but into the temporary folder alone; who answers reads nothing there but the
        weights, and is not misled by what the one who trained has left in their place.
        """
        nothing = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(nothing, descriptor)
        starts = [checkpoints / job.training_key, *_weights(job, checkpoints)]
        readable = [temporary, *starts] if trains else _plain(temporary / WEIGHTS)
        writable = [temporary] if trains else []
        settle(temporary)
        amounts = rlimits.Amounts(
            cpu_seconds=math.ceil(limits.seconds) + _GRACE,
            data=limits.memory,
            file_size=limits.file_size,
            open_files=_OPEN_FILES,
        )
        confine.confine(
            self.level,
            readable=[*self.code, *readable],
            writable=writable,
            listable=[_PACKAGE],  # import lists folders
            amounts=amounts,
            keep=[0, 1, 2, *keep],
        )


def _code() -> list[Path]:
    """List what Python may still have to import from, and nothing that holds text to be scored on."""
    named = {Path(path) for path in (sys.prefix, sys.base_prefix, *sys.path, *_LIBRARIES) if path}
    roots = {path for path in named if path.is_dir() and not _is_a_checkout(path)} | {_PACKAGE}
    return [part for root in sorted(roots) for part in landlock.except_for(root, [_CORPUS])]


def _is_a_checkout(path: Path) -> bool:
    """Tell a folder that people work in, where arenas may lie, from one that packages are installed in."""
    return path / _PACKAGE.name == _PACKAGE and path.name not in ("site-packages", "dist-packages")


def _weights(job: Job, checkpoints: Path) -> list[Path]:
    """Name the weights that a job may start from."""
    named = experiment.parse(job.experiment).checkpoint
    parent = [checkpoints / job.inherits] if job.inherits else []
    return [*parent, *([Path(named)] if named else [])]


def _plain(path: Path) -> list[Path]:
    return [path] if path.is_file() and not path.is_symlink() else []


def settle(temporary: Path) -> None:
    """Make a folder the place of all temporary files of this process, and where it stands."""
    os.environ["TMPDIR"] = tempfile.tempdir = str(temporary)
    os.chdir(temporary)


def folder() -> Path:
    """Make an empty folder for the files of one trial."""
    return Path(tempfile.mkdtemp(prefix="foundry-trial-"))


def remove(temporary: Path) -> None:
    """Remove what `folder` made, whatever a candidate has left in it."""
    shutil.rmtree(temporary, ignore_errors=True)
