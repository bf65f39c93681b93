"""What git needs before it calls a folder a repository: its folders, HEAD, and refs that can be read."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from genome.failures import writing_to
from genome.fault import Fault
from genome.refs import ALIVE, MAIN, NOTES, OWN
from genome.repository import Repository

_HEAD = re.compile(rb"ref: refs/\S+\n?|[0-9a-f]{40}\n?")
_LOOSE = re.compile(rb"ref: refs/\S+\n?|[0-9a-f]{40}\n?")
_CANDIDATE = re.compile(ALIVE + r"g\d{3,}-\d{4,}(-[a-z0-9.-]+)?")
_PACKED = re.compile(rb"#.*|\^[0-9a-f]{40}|[0-9a-f]{40} refs/\S+")


def faults(repository: Repository) -> Iterator[Fault]:
    """Find what keeps git from opening the repository, or from reading a ref of it; none of git is run."""
    for name in ("objects", "refs"):
        if not (folder := repository.directory / name).is_dir():
            yield Fault(what=f"the folder {name} is gone", remedy="make it", mend=partial(_make, folder))
    yield from _head(repository)
    yield from _packed(repository)
    yield from _loose(repository)


def is_foundrys(ref: str) -> bool:
    """Say whether a ref is one that only Foundry writes, in whoever's repository."""
    return ref.startswith(OWN) or ref == NOTES or bool(_CANDIDATE.fullmatch(ref))


def put_aside(directory: Path, path: Path) -> None:
    """Move a file that cannot be read out of git's way, to foundry/damaged/; never over another."""
    kept = directory / "foundry" / "damaged" / path.relative_to(directory)
    with writing_to(kept):
        kept.parent.mkdir(parents=True, exist_ok=True)
        number = 1
        while kept.exists():
            number += 1
            kept = kept.with_name(f"{path.name}.{number}")
        os.replace(path, kept)


def _head(repository: Repository) -> Iterator[Fault]:
    head = repository.directory / "HEAD"
    text = _read(head)
    if _HEAD.fullmatch(text) and not _leads_nowhere(repository, text.decode().strip()):
        return
    what = "HEAD is gone" if not head.exists() else f"HEAD points to nowhere: {text[:60]!r}"
    if repository.ours:
        yield Fault(
            what=what, remedy="point it at main", mend=partial(_write, head, f"ref: {MAIN}\n".encode())
        )
    else:
        yield Fault(what=what, remedy=f"write 'ref: refs/heads/BRANCH' into {head}, with a branch of yours")


def _leads_nowhere(repository: Repository, head: str) -> bool:
    """Say whether an arena's HEAD has left its `main` for what is not there; before `main` it may."""
    if not repository.ours or not _exists(repository.directory, MAIN):
        return False
    if head.startswith("ref: "):
        return not _exists(repository.directory, head.removeprefix("ref: "))
    return not (repository.directory / "objects" / head[:2] / head[2:]).exists() and not any(
        (repository.directory / "objects").glob("pack/*.pack")
    )


def _exists(directory: Path, ref: str) -> bool:
    return (directory / ref).is_file() or f" {ref}\n".encode() in _read(directory / "packed-refs")


def _packed(repository: Repository) -> Iterator[Fault]:
    path = repository.directory / "packed-refs"
    lines = _read(path).splitlines()
    good = [line for line in lines if _PACKED.fullmatch(line)]
    if bad := len(lines) - len(good):
        what = f"packed-refs has {bad} lines that are none"
        if repository.ours:
            remedy = "keep the others; the file as it was goes to foundry/damaged"
            yield Fault(what=what, remedy=remedy, mend=partial(_keep_lines, repository.directory, path, good))
        else:
            yield Fault(what=what, remedy=f"mend {path} by hand")


def _keep_lines(directory: Path, path: Path, lines: list[bytes]) -> None:
    put_aside(directory, path)
    _write(path, b"".join(line + b"\n" for line in lines))


def _loose(repository: Repository) -> Iterator[Fault]:
    directory = repository.directory
    for path in sorted((directory / "refs").rglob("*")):
        if path.is_file() and path.suffix != ".lock" and not _LOOSE.fullmatch(_read(path)):
            ref = path.relative_to(directory).as_posix()
            what = f"{ref!r} names no commit"
            if repository.ours or is_foundrys(ref):
                remedy = "put it aside, in foundry/damaged; --resume makes again what a run needs"
                yield Fault(what=what, remedy=remedy, mend=partial(put_aside, directory, path))
            else:
                yield Fault(what=what, remedy=f"mend or delete {path}: it is not Foundry's")


def _read(path: Path) -> bytes:
    return path.read_bytes() if path.is_file() else b""


def _make(folder: Path) -> None:
    with writing_to(folder):
        folder.mkdir(parents=True, exist_ok=True)


def _write(path: Path, content: bytes) -> None:
    draft = path.with_name(path.name + ".new")
    with writing_to(path):
        draft.write_bytes(content)
        os.replace(draft, path)
