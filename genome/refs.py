"""Read refs with one process, and change several at once or none."""

from collections.abc import Iterable
from dataclasses import dataclass

from genome.candidate import SAFE, Candidate
from genome.command import Git
from genome.message import read_candidate

ALIVE = "refs/heads/candidate/"
REJECTED = "refs/foundry/rejected/"
CHAMPION = "refs/heads/champion"
MAIN = "refs/heads/main"
NOTES = "refs/notes/foundry"
OWN = "refs/foundry/"  # and what lies below is ours alone
PLAN = OWN + "plan"
ASIDE = OWN + "aside/"  # candidates that the ledger of a run does not know
NOTHING = "0" * 40  # as an old value: the ref must not exist; as a new one: delete it

_FIELDS = ("refname", "objectname", "tree", "parent", "worktreepath", "contents")
_FORMAT = "".join(f"%({field})%00" for field in _FIELDS)


@dataclass(frozen=True, kw_only=True)
class Ref:
    """A ref and the commit that it names; `worktree` is the folder where the branch is checked out, or ''."""

    name: str
    commit: str
    tree: str
    parents: tuple[str, ...]
    worktree: str
    message: str

    def candidate(self) -> Candidate | None:
        """Return the candidate that the commit is, if it is one of ours."""
        return read_candidate(commit=self.commit, tree=self.tree, parents=self.parents, message=self.message)


@dataclass(frozen=True, kw_only=True)
class Change:
    """One ref's part of a transaction: from `old` to `new`, both NOTHING or a commit."""

    ref: str
    old: str
    new: str


class Refs:
    """The refs of one repository."""

    def __init__(self, git: Git):
        self._git = git

    def read(self, *prefixes: str) -> list[Ref]:
        """List the refs that are, or lie below, one of the prefixes: one process, however many there are."""
        output = self._git.run("for-each-ref", f"--format={_FORMAT}", *prefixes)
        fields = iter(output.decode(errors="surrogateescape").split("\0"))
        return [
            Ref(
                name=name.lstrip("\n"),
                commit=commit,
                tree=tree,
                parents=tuple(parents.split()),
                worktree=worktree,
                message=message,
            )
            for name, commit, tree, parents, worktree, message in zip(*[fields] * len(_FIELDS), strict=False)
        ]

    def find(self, *names: str) -> dict[str, Ref]:
        """Look up refs by their full names; those that do not exist are absent."""
        return {ref.name: ref for ref in self.read(*names) if ref.name in names}

    def change(self, changes: Iterable[Change]) -> None:
        """Make all changes in one transaction, or none; ArenaError where an old value is not as given."""
        lines = []
        for change in changes:
            assert SAFE.fullmatch(change.ref), change.ref
            lines.append(f"update {change.ref} {change.new} {change.old}\n")
        if lines:
            script = "".join(["start\n", *lines, "prepare\n", "commit\n"])
            self._git.run("update-ref", "--no-deref", "--stdin", stdin=script.encode())
