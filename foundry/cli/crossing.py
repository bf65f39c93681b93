"""A child of two parents: what each changed since their last common ancestor, merged by syntax tree."""

from __future__ import annotations

from collections.abc import Mapping

from genome import Arena, Candidate
from operators import Source
from operators.crossover import ConflictError, crossed

Family = Mapping[int, Candidate]  # by number


def cross(arena: Arena, family: Family, mother: Candidate, father: Candidate) -> Source | None:
    """Return the source of a child; None where one parent descends from the other, or they contradict."""
    ancestor = common_ancestor(family, mother, father)
    if ancestor in (mother, father):
        return None
    try:
        return crossed(*(source_of(arena, candidate) for candidate in (ancestor, mother, father)))
    except ConflictError:
        return None


def source_of(arena: Arena, candidate: Candidate) -> Source:
    """Read a candidate's two files."""
    files = arena.files(candidate)
    return Source(files["model.py"], files["experiment.yaml"])


def common_ancestor(family: Family, one: Candidate, other: Candidate) -> Candidate:
    """Return the youngest candidate that both descend from; all descend from the seed model."""
    by_commit = {candidate.commit: candidate for candidate in family.values()}
    shared = _ancestors(by_commit, one) & _ancestors(by_commit, other)
    return family[max(shared)]


def _ancestors(by_commit: Mapping[str, Candidate], candidate: Candidate) -> set[int]:
    """Number a candidate and all that it descends from, through either parent."""
    found, waiting = set(), [candidate]
    while waiting:
        member = waiting.pop()
        if member.number not in found:
            found.add(member.number)
            waiting += [by_commit[parent] for parent in member.parents]
    return found
