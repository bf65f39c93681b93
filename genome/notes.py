"""Results as git notes under `refs/notes/foundry`, where `git log --notes=foundry` shows them.

A notes tree maps commits to blobs. git reads any fan-out; here it is always the first two digits, so that a
batch rewrites only the folders that it touches.
"""

import re
from collections.abc import Collection, Mapping

from genome.command import Git
from genome.content import read_blobs
from genome.objects import TREE, ObjectStore
from genome.refs import NOTES, NOTHING, Change, Ref


class Notes:
    """The notes of one repository; what was read last is kept, for as long as nobody moves the ref."""

    def __init__(self, git: Git, store: ObjectStore):
        self._git = git
        self._store = store
        self._tip: str | None = None  # the notes commit that the rest describes
        self._blobs: dict[str, dict[str, str]] = {}  # first two digits -> commit -> blob
        self._trees: dict[str, str] = {}  # first two digits -> tree, where it is as we would write it

    def put(self, texts: Mapping[str, str], *, tip: Ref | None) -> list[Change]:
        """Store one text a commit; return the change of the ref that shows them, none if nothing is new."""
        self._follow(tip)
        old, self._tip = self._tip, None  # read anew, should anything below fail
        stale = set()
        for commit, text in sorted(texts.items()):
            blob = self._store.blob(text)
            folder = self._blobs.setdefault(commit[:2], {})
            if folder.get(commit) != blob:
                folder[commit] = blob
                stale.add(commit[:2])
        if not stale:
            self._tip = old
            return []
        assert old is not None
        new = self._tip = self._commit(stale, parent=old)
        return [Change(ref=NOTES, old=old, new=new)]

    def read(self, tip: Ref | None) -> dict[str, str]:
        """Return every note: commit to text; what is not UTF-8 in it is replaced."""
        self._follow(tip)
        blobs = {commit: blob for folder in self._blobs.values() for commit, blob in folder.items()}
        return dict(zip(blobs, read_blobs(self._git, list(blobs.values()), errors="replace"), strict=True))

    def drop(self, commits: Collection[str], *, tip: Ref | None) -> list[Change]:
        """Return the change of the ref after which these commits have no note; none where they have none."""
        self._follow(tip)
        old, self._tip = self._tip, None
        stale = {commit[:2] for commit in commits if self._blobs.get(commit[:2], {}).pop(commit, None)}
        if not stale:
            self._tip = old
            return []
        assert old is not None
        new = self._tip = self._commit(stale, parent=old)
        return [Change(ref=NOTES, old=old, new=new)]

    def _follow(self, ref: Ref | None) -> None:
        tip = ref.commit if ref else NOTHING
        if tip == self._tip:
            return
        self._tip, self._blobs, self._trees = None, {}, {}
        listing = b"" if tip == NOTHING else self._git.run("ls-tree", "-r", "-z", "--full-tree", tip)
        for entry in listing.decode(errors="surrogateescape").split("\0")[:-1]:
            heading, _, path = entry.partition("\t")
            commit = path.replace("/", "")
            if re.fullmatch(r"[0-9a-f]{40}", commit):  # git passes over other files in a tree of notes, too
                self._blobs.setdefault(commit[:2], {})[commit] = heading.split(" ")[2]
        self._tip = tip

    def _commit(self, stale: set[str], *, parent: str) -> str:
        for digits in [digits for digits, folder in self._blobs.items() if not folder]:
            del self._blobs[digits]
            self._trees.pop(digits, None)
        for digits, folder in self._blobs.items():
            if digits in stale or digits not in self._trees:
                rows = {commit[2:]: blob for commit, blob in folder.items()}
                self._trees[digits] = self._store.tree(rows)
        tree = self._store.tree(self._trees, mode=TREE)
        parents = [] if parent == NOTHING else [parent]
        return self._store.commit(tree=tree, parents=parents, message="Results of trials\n", second=0)


def write_note(results: Mapping[str, object]) -> str:
    """Write one `key: value` line a result; values are brought to one line of printable characters."""
    assert all(re.fullmatch(r"\w([\w ./-]*\w)?", key) for key in results), results
    return "".join(f"{key}: {_one_line(value)}\n" for key, value in results.items())


def read_note(text: str) -> dict[str, str]:
    """Read `key: value` lines back; other lines, which a person may have added, are passed over."""
    pairs = (line.partition(":") for line in text.split("\n"))
    return {key: value.strip() for key, colon, value in pairs if colon}


def _one_line(value: object) -> str:
    assert isinstance(value, str | int | float), value
    return "".join(letter for letter in " ".join(str(value).split()) if letter.isprintable())
