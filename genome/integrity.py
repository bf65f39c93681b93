"""Whether all that the refs lead to is there and whole: git fsck, and what can be done about its findings."""

from __future__ import annotations

import hashlib
import os
import re
import zlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from genome.command import Git, call, fixed_environment
from genome.fault import Fault
from genome.repository import Repository
from genome.skeleton import is_foundrys, put_aside

_SHOWN = 5  # complaints of fsck


def faults(repository: Repository) -> Iterator[Fault]:
    """Find objects that are damaged, refs that lead to what is missing, and what else git fsck complains of.

    A candidate whose ref is deleted is made again by `--resume`, to the same commit, and objects with it.
    """
    yield from _index(repository)
    complaints = _fsck(repository.directory)
    if not complaints:
        return
    explained = False
    for path in damaged_objects(repository.directory):
        explained = True
        yield Fault(
            what=f"object {path.parent.name}{path.name} is damaged",
            remedy="put it aside, in foundry/damaged, so that it can be written again",
            mend=partial(put_aside, repository.directory, path),
        )
    git = Git(repository.directory)
    for name in _incomplete(git):
        explained = True
        if repository.ours or is_foundrys(name):
            yield Fault(
                what=f"{name} leads to objects that are missing",
                remedy="delete the ref; --resume makes it again from the ledger",
                mend=partial(_delete, git, name),
            )
        else:
            yield Fault(
                what=f"{name} leads to objects that are missing", remedy="fetch it again: not Foundry's"
            )
    if not explained:
        for complaint in complaints[:_SHOWN]:
            yield Fault(
                what=f"git fsck: {complaint}", remedy="fetch what is missing from a clone, if there is one"
            )


def _index(repository: Repository) -> Iterator[Fault]:
    """Examine the index of an arena of ours, where nobody keeps work of theirs."""
    git, path = Git(repository.directory), repository.directory / "index"
    if not (repository.ours and path.is_file()):
        return
    if not git.succeeds("ls-files", "--cached"):
        mend = partial(_new_index, git, path)
        yield Fault(what="the index cannot be read", remedy="read it from HEAD", mend=mend)


def _new_index(git: Git, path: Path) -> None:
    put_aside(git.directory, path)
    git.run("read-tree", "HEAD")


def damaged_objects(directory: Path) -> list[Path]:
    """List the loose objects whose content is not what their name says."""
    objects = directory / "objects"
    return [path for path in sorted(objects.glob("[0-9a-f][0-9a-f]/*")) if _is_damaged(path)]


def _is_damaged(path: Path) -> bool:
    name = path.parent.name + path.name
    if not re.fullmatch(r"[0-9a-f]{40}", name):
        return False
    try:
        content = zlib.decompress(path.read_bytes())
    except (zlib.error, OSError):
        return True
    return hashlib.sha1(content, usedforsecurity=False).hexdigest() != name


def _fsck(directory: Path) -> list[str]:
    arguments = [f"--git-dir={directory}", "fsck", "--no-dangling", "--no-progress"]
    done = call(arguments, environment=fixed_environment(), folder=directory)
    if done.returncode == 0:
        return []
    lines = os.fsdecode(done.stdout + done.stderr).splitlines()
    return [line for line in lines if not line.startswith("notice:")] or [f"status {done.returncode}"]


def _incomplete(git: Git) -> list[str]:
    """List the refs from which git cannot walk to every object."""
    names = os.fsdecode(git.run("for-each-ref", "--format=%(refname)")).split()
    return [] if _walks(git, names) else [name for name in names if not _walks(git, [name])]


def _walks(git: Git, names: list[str]) -> bool:
    heads = os.fsencode("".join(f"{name}\n" for name in names))
    return git.succeeds("rev-list", "--objects", "--quiet", "--stdin", stdin=heads)


def _delete(git: Git, name: str) -> None:
    assert name.startswith("refs/"), name
    git.run("update-ref", "--no-deref", "-d", name)
