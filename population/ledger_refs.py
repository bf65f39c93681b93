"""Whether the candidates in git and the births in the ledger are the same."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial

from foundry.trial.outcome import Rejected
from genome import Candidate
from genome.fault import Fault
from genome.mending import Mending
from population.ledger import Ledger
from population.rebuild import is_readable
from population.settings import SEED_MODEL

_CHAIN = 1_000_000  # commits of a champion's own branch are numbered from here and are no births


def faults(ledger: Ledger, candidates: Sequence[Candidate], mending: Mending) -> Iterator[Fault]:
    """Find candidates that only one of the two knows.

    Those born after the ledger's last are left to `--resume`: it makes them again, and refuses others.
    """
    births = {number: body["commit"] for number, body in ledger.births().items()}
    latest = max(births, default=0)
    for candidate in candidates:
        number = candidate.number
        if number in births:
            strange = births[number] != candidate.commit
        else:
            strange = SEED_MODEL < number <= min(latest, _CHAIN)
        if strange:
            yield Fault(
                what=f"{candidate.branch} ({candidate.commit[:7]}) is not the ledger's number {number}",
                remedy="put it aside, in refs/foundry/aside; --resume makes the ledger's own",
                mend=partial(mending.put_aside, candidate),
            )
    yield from _missing(ledger, births, {candidate.commit for candidate in candidates}, mending)


def _missing(
    ledger: Ledger, births: Mapping[int, str | None], present: set[str], mending: Mending
) -> Iterator[Fault]:
    rejected = {
        body["number"]
        for _, body, outcome in ledger.outcomes()
        if isinstance(outcome, Rejected) and body["split"] != "test"
    }
    for number, commit in births.items():
        if commit is None or commit in present:
            continue
        if candidate := mending.candidate(commit):
            yield Fault(
                what=f"{candidate.branch} is gone, its commit {commit[:7]} is still there",
                remedy="make the branch again",
                mend=partial(mending.remake, candidate, rejected=number in rejected),
            )
        else:
            yield Fault(
                what=f"candidate {number} ({commit[:7]}) is gone", remedy="--resume makes it again, the same"
            )


def of_champion(ledger: Ledger, champion: Candidate | None, mending: Mending) -> Iterator[Fault]:
    """Find out whether the champion of a run that has ended has its branch."""
    crowned = [event["commit"] for event in ledger.events("champion")][-1:]
    if not crowned or (champion is not None and champion.commit == crowned[0]):
        return
    if champion is None and (candidate := mending.candidate(crowned[0])):
        mend = partial(mending.crown, candidate)
        yield Fault(what="the branch champion is gone", remedy="make it again", mend=mend)
    else:
        yield Fault(what="the branch champion is not the champion's", remedy="--resume puts it right")


def of_notes(
    ledger: Ledger, candidates: Sequence[Candidate], notes: Mapping[str, Mapping[str, str]], mending: Mending
) -> Iterator[Fault]:
    """Find notes that say nothing a board could show, and, once a run has ended, those that are gone."""
    for candidate in candidates:
        note = notes.get(candidate.commit)
        if note is not None and not is_readable(note):
            yield Fault(
                what=f"the note of {candidate.name} cannot be read",
                remedy="drop it; --resume writes it again",
                mend=partial(mending.drop_notes, [candidate.commit]),
            )
    if ledger.events("champion"):
        tried = {body["number"] for _, body, _ in ledger.outcomes()}
        bare = [c.name for c in candidates if c.number in tried and c.commit not in notes]
        if bare:
            more = f" and {len(bare) - 1} more" if bare[1:] else ""
            yield Fault(what=f"{bare[0]}{more} has no note", remedy="--resume writes it again")
