"""What can go wrong in an arena, in one sentence each."""

import errno
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

DOCTOR = "foundry doctor --repair mends what can be mended"
NO_SPACE = "no space is left on the disk that holds {place}: free some, then go on"


_BROKEN = (
    r"(?m)^.*(loose object \S+ .*is corrupt|object file \S+ is empty|unable to (read|parse|resolve)|"
    r"bad object|missing object|not a git repository|unexpected line in|invalid (object|sha1)|"
    r"bad (tree|ref|config)).*$"
)


class ArenaError(ValueError):
    """The arena cannot be used as asked: one sentence that names the thing and the remedy."""


class KilledError(ArenaError):
    """A git was killed: that says nothing about the arena."""


def explain(complaint: str, *, command: str, place: Path) -> str:
    """Turn what git wrote on its standard error into a sentence for the user."""
    if "No space left on device" in complaint or ("write" in complaint and _is_full(place)):
        return NO_SPACE.format(place=place)
    if lock := re.search(r"Unable to create '([^']+\.lock)': File exists", complaint):
        return (
            f"another git command is at work in {place}, or one was killed and left its lock: "
            f"when none is running, delete {lock[1]} and go on (foundry doctor --repair does both)"
        )
    if clash := re.search(r"'(refs/[^']+)' exists; cannot create '(refs/[^']+)'", complaint):
        there, wanted = clash.groups()
        return f"{_short(there)} of {place} stands in the way of {_short(wanted)}: {_way_out(there)}"
    if taken := re.search(r"cannot lock ref '([^']+)': reference already exists", complaint):
        return f"{_short(taken[1])} of {place} exists and is not what Foundry put there: {_way_out(taken[1])}"
    if broken := re.search(r"cannot lock ref '([^']+)'.*reference broken", complaint):
        return f"{_short(broken[1])} of {place} names no commit: {DOCTOR}, then go on with the run"
    if moved := re.search(r"cannot lock ref '([^']+)': (?:is at|unable to resolve)", complaint):
        return f"{_short(moved[1])} of {place} was changed by another program meanwhile: go on with the run"
    if denied := re.search(r"Permission denied|Read-only file system", complaint):
        return f"cannot write to {place} ({denied[0]}): make it writable, or choose another arena"
    if broken := re.search(_BROKEN, complaint):
        return f"{place} is damaged ({' '.join(broken[0].split())}): {DOCTOR}, then go on with the run"
    return f"git {command} failed in {place}: {' '.join(complaint.split()) or 'it gave no reason'}"


@contextmanager
def writing_to(place: Path) -> Iterator[None]:
    """Turn an error of the file system into an ArenaError that names `place`."""
    try:
        yield
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise ArenaError(NO_SPACE.format(place=place)) from error
        reason = error.strerror or str(error)
        raise ArenaError(f"cannot write to {place} ({reason}): mend that, or choose another arena") from error


def _is_full(place: Path) -> bool:
    nearest = next(folder for folder in (place, *place.parents) if folder.exists())
    return shutil.disk_usage(nearest).free < 65_536  # git does not always say why it could not write


def _short(ref: str) -> str:
    return ref.removeprefix("refs/heads/")


def _way_out(ref: str) -> str:
    branch = ref.startswith("refs/heads/")
    cure = f"rename it (git branch -m {_short(ref)} another-name)" if branch else f"git update-ref -d {ref}"
    return f"{cure}, or choose another arena"
