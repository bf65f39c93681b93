"""A candidate made again without some of the edits of its lineage, by replaying the others in their order."""

from __future__ import annotations

from collections.abc import Collection

from foundry.cli.crossing import Family, common_ancestor, source_of
from foundry.cli.editing import applied
from genome import Arena, Candidate, Step
from operators import Edit, Source
from operators.crossover import crossed

CROSSOVER = "crossover"  # stands where the operator stands in a commit's trailers


def edits_of(arena: Arena, candidate: Candidate) -> list[Step]:
    """List the edits that made a candidate of the seed model, the first one first."""
    return [step for member in arena.lineage(candidate)[1:] for step in member.steps]


def reduced(arena: Arena, family: Family, whole: Candidate, without: Collection[int]) -> Source | None:
    """Return the source without the edits at these places of its lineage, the first edit being 1.

    None where an edit that is left builds on one that is not.
    """
    sources = replayed(arena, family, whole, without)
    return sources[-1][1] if sources else None


def replayed(
    arena: Arena, family: Family, whole: Candidate, without: Collection[int]
) -> list[tuple[Step, Source]] | None:
    """Return the seed model, then each edit that is left, with the source it gives; None as for `reduced`."""
    seed, *lineage = arena.lineage(whole)
    edits = [(member, step) for member in lineage for step in member.steps]
    found = [(seed.steps[0], source_of(arena, seed))]
    for place, (member, step) in enumerate(edits, start=1):
        if place in without:
            continue
        try:
            found.append((step, _repeated(arena, family, member, step, found[-1][1])))
        except (ValueError, KeyError):  # ConflictError is one
            return None
    return found


def _repeated(arena: Arena, family: Family, member: Candidate, step: Step, source: Source) -> Source:
    if step.operator != CROSSOVER:
        return applied(source, Edit(step.operator, step.variant, step.site))
    by_commit = {candidate.commit: candidate for candidate in family.values()}
    mother, father = (by_commit[parent] for parent in member.parents)
    ancestor = common_ancestor(family, mother, father)
    return crossed(source_of(arena, ancestor), source, source_of(arena, father))
