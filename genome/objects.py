"""Write git objects without a process, through gitdb, the object store of GitPython.

`git.Repo` itself is avoided: since GitPython 3.2 its `odb.store` starts a process for each object, reading
through it leaves `cat-file` children, and it cannot be imported where there is no git to complain of.
"""

import hashlib
from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path

from gitdb import IStream, LooseObjectDB  # type: ignore[import-untyped]

from genome.command import EPOCH, IDENTITY
from genome.failures import writing_to

BLOB, TREE = 0o100644, 0o040000
UNFINISHED = "objects/obj*"  # as gitdb names what it has not written to its end


class ObjectStore:
    """The objects of one repository, for writing. Ids have 40 hexadecimal digits; what exists stays."""

    def __init__(self, directory: Path):
        self._directory = directory
        self._loose = LooseObjectDB(str(directory / "objects"))

    def blob(self, text: str) -> str:
        return self._store(b"blob", text.encode())

    def tree(self, entries: Mapping[str, str], *, mode: int = BLOB) -> str:
        """Store a tree of entries that are all of one mode: name to id."""
        lines = (
            b"%o %s\0%s" % (mode, name.encode(), bytes.fromhex(entries[name])) for name in sorted(entries)
        )
        return self._store(b"tree", b"".join(lines))

    def commit(self, *, tree: str, parents: Sequence[str], message: str, second: int) -> str:
        """Store a commit by Foundry, dated `second` seconds after the epoch of all arenas."""
        signature = f"{IDENTITY} {EPOCH + second} +0000"
        lines = [f"tree {tree}", *(f"parent {parent}" for parent in parents)]
        lines += [f"author {signature}", f"committer {signature}", "", message]
        return self._store(b"commit", "\n".join(lines).encode())

    def sweep(self) -> None:
        """Remove what a killed process of ours left half written; none may be at work."""
        with writing_to(self._directory):
            for path in self._directory.glob(UNFINISHED):
                path.unlink(missing_ok=True)

    def _store(self, kind: bytes, data: bytes) -> str:
        digest = hashlib.sha1(b"%s %d\0%s" % (kind, len(data), data), usedforsecurity=False)
        if not self._loose.has_object(digest.digest()):
            with writing_to(self._directory):
                self._loose.store(IStream(kind, len(data), BytesIO(data)))
        return digest.hexdigest()
