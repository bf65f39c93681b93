"""Bring the candidates of an arena in line with what a ledger knows of them."""

from __future__ import annotations

import re
from collections.abc import Collection

from genome.candidate import Candidate
from genome.command import Git
from genome.content import read_commit
from genome.failures import ArenaError
from genome.notes import Notes
from genome.objects import ObjectStore
from genome.refs import ALIVE, ASIDE, CHAMPION, NOTES, NOTHING, REJECTED, Change, Refs
from genome.repository import Repository


class Mending:
    """Refs and notes of one repository, for repairs; to be used where the writer's lock is held."""

    def __init__(self, repository: Repository) -> None:
        self._git = Git(repository.directory)
        self._refs = Refs(self._git)
        self._notes = Notes(self._git, ObjectStore(repository.directory))

    def candidate(self, commit: str) -> Candidate | None:
        """Return the candidate that a commit is, branch or no branch; None where not all of it is there."""
        if not re.fullmatch(r"[0-9a-f]{40}", commit) or not self._has(commit):
            return None
        whole = self._git.succeeds("rev-list", "--objects", "--quiet", commit)
        return read_commit(self._git, commit) if whole else None

    def remake(self, candidate: Candidate, *, rejected: bool) -> None:
        """Give a candidate its ref again."""
        ref = (REJECTED if rejected else ALIVE) + candidate.name
        self._refs.change([Change(ref=ref, old=NOTHING, new=candidate.commit)])

    def crown(self, candidate: Candidate) -> None:
        """Make the branch `champion` again."""
        self._refs.change([Change(ref=CHAMPION, old=NOTHING, new=candidate.commit)])

    def put_aside(self, candidate: Candidate) -> None:
        """Move the refs of a candidate to `refs/foundry/aside/`, where a run does not look."""
        names = [prefix + candidate.name for prefix in (ALIVE, REJECTED)]
        aside = ASIDE + f"{candidate.commit[:7]}/{candidate.name}"
        found = self._refs.find(*names, aside)
        for ref in found.values():
            if ref.worktree:
                raise ArenaError(
                    f"{candidate.branch} is checked out in {ref.worktree}: switch to another there"
                )
        changes = [Change(ref=ref, old=found[ref].commit, new=NOTHING) for ref in names if ref in found]
        if aside not in found:
            changes.append(Change(ref=aside, old=NOTHING, new=candidate.commit))
        self._refs.change(changes)

    def drop_notes(self, commits: Collection[str]) -> None:
        """Take the notes of these commits away."""
        self._refs.change(self._notes.drop(commits, tip=self._refs.find(NOTES).get(NOTES)))

    def _has(self, commit: str) -> bool:
        return self._git.run("cat-file", "--batch-check", stdin=f"{commit}\n".encode()).split()[1:2] == [
            b"commit"
        ]
