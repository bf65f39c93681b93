"""The git repository that holds a population."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from genome.candidate import FILES, Candidate, Step
from genome.command import Git
from genome.content import read_blobs, read_diff, read_files, read_lineage
from genome.failures import ArenaError, writing_to
from genome.lock import WriterLock
from genome.message import read_candidate, write_message
from genome.notes import Notes, read_note, write_note
from genome.objects import ObjectStore
from genome.refs import ALIVE, CHAMPION, MAIN, NOTES, NOTHING, PLAN, REJECTED, Change, Refs
from genome.repository import Repository, fill_work_tree, find_repository, make_repository

PLAN_FILE = "plan.json"


class Arena:
    """A repository whose branches are candidates. Make one with `create` or `open`; one process writes.

    Every write stores its objects first and then moves all its refs in one transaction, so that a process
    which is killed leaves a whole arena. Nothing stays open between calls but the writer's lock. Whatever
    goes wrong is an ArenaError.
    """

    def __init__(self, repository: Repository):
        self._repository = repository
        self._git = Git(repository.directory)
        self._store = ObjectStore(repository.directory)
        self._refs = Refs(self._git)
        self._notes = Notes(self._git, self._store)
        self._lock = WriterLock(repository.directory / "foundry")
        self._born: dict[int, Candidate] | None = None  # by birth number, read before the first commit

    @classmethod
    def create(cls, path: str | Path) -> Self:
        """Make an arena of our own at `path`, a new or empty folder."""
        return cls(make_repository(Path(path)))

    @classmethod
    def open(cls, path: str | Path) -> Self:
        """Open the repository at `path` or around it; a user's own gets new refs and nothing else."""
        return cls(find_repository(Path(path)))

    def close(self) -> None:
        """Give the writer's lock back."""
        self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def path(self) -> Path:
        """Where `git -C` finds the arena: the folder of its main work tree, or a bare repository itself."""
        return self._git.place

    @property
    def state(self) -> Path:
        """The folder for what a run keeps beside git's objects: ledger, checkpoints. Made when asked for."""
        folder = self._repository.directory / "foundry"
        with writing_to(folder):
            folder.mkdir(exist_ok=True)
        return folder

    def plant(self, files: Mapping[str, str], *, seed: int) -> Candidate:
        """Commit the seed model as candidate 0; an arena of our own also gets its `main` and work tree."""
        seedling = self.commit(
            files,
            number=0,
            generation=0,
            parents=(),
            steps=[Step(operator="seed", variant="", site="", words="Seed model")],
            seed=seed,
        )
        if self._repository.ours and not self._refs.find(MAIN):
            fill_work_tree(self._git, seedling.commit)
            self._refs.change([Change(ref=MAIN, old=NOTHING, new=seedling.commit)])
        return seedling

    def keep_plan(self, text: str) -> None:
        """Keep the plan of a run under `refs/foundry/plan`, for the day when its ledger is lost."""
        self._lock.hold()
        tree = self._store.tree({PLAN_FILE: self._store.blob(text)})
        commit = self._store.commit(tree=tree, parents=(), message="Plan of the run\n", second=0)
        kept = self._refs.find(PLAN).get(PLAN)
        if not kept or kept.commit != commit:
            self._refs.change([Change(ref=PLAN, old=kept.commit if kept else NOTHING, new=commit)])

    def plan(self) -> str | None:
        """Return what `keep_plan` kept; None where there is none."""
        kept = self._refs.find(PLAN).get(PLAN)
        return read_blobs(self._git, [f"{kept.commit}:{PLAN_FILE}"])[0] if kept else None

    def commit(
        self,
        files: Mapping[str, str],
        *,
        number: int,
        generation: int,
        parents: Sequence[Candidate],
        steps: Sequence[Step],
        seed: int,
    ) -> Candidate:
        """Commit a candidate on a branch of its own; the same arguments give the same id, in any arena.

        Committing it again changes nothing, even once it is rejected. Two parents make a merge commit.
        """
        assert sorted(files) == list(FILES), sorted(files)
        self._lock.hold()
        tree = self._store.tree({name: self._store.blob(text) for name, text in files.items()})
        message = write_message(number=number, generation=generation, steps=steps, seed=seed)
        ancestry = tuple(parent.commit for parent in parents)
        commit = self._store.commit(tree=tree, parents=ancestry, message=message, second=number)
        candidate = read_candidate(commit=commit, tree=tree, parents=ancestry, message=message)
        assert candidate is not None
        self._bear(candidate)
        return candidate

    def files(self, candidate: Candidate | str) -> dict[str, str]:
        """Return `model.py` and `experiment.yaml` of a candidate or of a commit id, byte for byte."""
        return read_files(self._git, _commit_id(candidate))

    def reject(self, candidate: Candidate, *, gate: str, reason: str) -> None:
        """Take the candidate out of `git branch`, into `refs/foundry/rejected/`; its note says why.

        A branch that is checked out, or that a person has moved on, is left where it is; the candidate counts
        as rejected all the same.
        """
        self._lock.hold()
        alive, rejected = ALIVE + candidate.name, REJECTED + candidate.name
        found = self._refs.find(alive, rejected, NOTES)
        note = write_note({"rejected": gate, "reason": reason})
        changes = self._notes.put({candidate.commit: note}, tip=found.get(NOTES))
        if rejected not in found:
            changes.append(Change(ref=rejected, old=NOTHING, new=candidate.commit))
        branch = found.get(alive)
        if branch and branch.commit == candidate.commit and not branch.worktree:
            changes.append(Change(ref=alive, old=candidate.commit, new=NOTHING))
        self._refs.change(changes)

    def note(self, results: Mapping[Candidate, Mapping[str, str | int | float]]) -> None:
        """Write one note a candidate, in place of the one it had; cheapest in batches.

        Keys are words without a colon; values become one line each (a float in full, 17 digits if need be).
        """
        self._lock.hold()
        texts = {candidate.commit: write_note(lines) for candidate, lines in results.items()}
        self._refs.change(self._notes.put(texts, tip=self._refs.find(NOTES).get(NOTES)))

    def notes(self) -> dict[str, dict[str, str]]:
        """Return all notes: commit id to what `note` and `reject` wrote, values as text."""
        texts = self._notes.read(self._refs.find(NOTES).get(NOTES))
        return {commit: read_note(text) for commit, text in texts.items()}

    def crown(self, candidate: Candidate) -> None:
        """Point the branch `champion` at the candidate; never where it is checked out or is not ours."""
        self._lock.hold()
        reigning = self._refs.find(CHAMPION).get(CHAMPION)
        if reigning and reigning.commit == candidate.commit:
            return
        if reigning and reigning.worktree:
            raise ArenaError(
                f"the branch champion is checked out in {reigning.worktree}: switch to another branch there, "
                f"then run git branch -f champion {candidate.branch}"
            )
        if reigning and not reigning.candidate():
            raise ArenaError(
                f"the branch champion of {self.path} is not Foundry's: rename it "
                "(git branch -m champion another-name), "
                f"then run git branch champion {candidate.branch}"
            )
        old = reigning.commit if reigning else NOTHING
        self._refs.change([Change(ref=CHAMPION, old=old, new=candidate.commit)])

    def champion(self) -> Candidate | None:
        """Return the candidate that `crown` has crowned; None where there is none."""
        reigning = self._refs.find(CHAMPION).get(CHAMPION)
        return reigning.candidate() if reigning else None

    def candidates(self, *, rejected: bool = True) -> list[Candidate]:
        """List the candidates by birth number, from one `git for-each-ref`; refs not ours are passed over."""
        alive, out = {}, {}
        for ref in self._refs.read(ALIVE, REJECTED):
            candidate = ref.candidate()
            if candidate and ref.name == ALIVE + candidate.name:
                alive[candidate.commit] = candidate
            elif candidate and ref.name == REJECTED + candidate.name:
                out[candidate.commit] = candidate
        shown = alive | out if rejected else {commit: alive[commit] for commit in alive if commit not in out}
        return sorted(shown.values(), key=lambda candidate: (candidate.number, candidate.name))

    def lineage(self, candidate: Candidate) -> list[Candidate]:
        """Return the candidate's first-parent ancestors, the seed model first, itself last."""
        return read_lineage(self._git, candidate.commit)

    def diff(self, old: Candidate | str, new: Candidate | str) -> str:
        """Return the unified diff from one candidate's files to another's."""
        return read_diff(self._git, _commit_id(old), _commit_id(new))

    def tidy(self) -> None:
        """Remove what killed runs left half written, and pack the refs of an arena of our own.

        A user's repository packs itself when they run git gc.
        """
        self._lock.hold()
        self._store.sweep()
        if self._repository.ours:
            self._git.run("pack-refs", "--all")

    def _bear(self, candidate: Candidate) -> None:
        """Make the branch of a candidate whose commit is stored, unless the arena has it already."""
        if self._born is None:
            self._born = {known.number: known for known in self.candidates()}
        known = self._born.get(candidate.number)
        if known and known.commit != candidate.commit:
            raise ArenaError(
                f"{self.path} holds another run: its candidate {known.number} is {known.name} "
                f"({known.commit[:7]}), not {candidate.name} ({candidate.commit[:7]}); "
                "go on with that run, or choose another arena"
            )
        if not known:
            self._refs.change([Change(ref=ALIVE + candidate.name, old=NOTHING, new=candidate.commit)])
            self._born[candidate.number] = candidate


def _commit_id(candidate: Candidate | str) -> str:
    commit = candidate if isinstance(candidate, str) else candidate.commit
    assert re.fullmatch(r"[0-9a-f]{40}", commit), commit
    return commit
