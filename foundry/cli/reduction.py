"""A candidate made again without some of the edits of its lineage, by replaying the others in their order."""

from __future__ import annotations

from collections.abc import Collection

import operators
from foundry.cli.crossing import Family, common_ancestor, source_of
from genome import Arena, Candidate
from operators import Edit, Source, numbers
from operators.crossover import crossed

CROSSOVER = "crossover"  # stands where the operator stands in a commit's trailers


def reduced(arena: Arena, family: Family, whole: Candidate, without: Collection[int]) -> Source | None:
    """Return the source without the edits at these places of its lineage, the first edit being 1.

    None where an edit that is left builds on one that is not.
    """
    sources = steps(arena, family, whole, without)
    return sources[-1][1] if sources else None


def steps(
    arena: Arena, family: Family, whole: Candidate, without: Collection[int]
) -> list[tuple[Candidate, Source]] | None:
    """Return the seed model, then each step that is left, with the source it gives."""
    seed, *lineage = arena.lineage(whole)
    found = [(seed, source_of(arena, seed))]
    for place, step in enumerate(lineage, start=1):
        if place in without:
            continue
        try:
            found.append((step, _replayed(arena, family, step, found[-1][1])))
        except (ValueError, KeyError):  # ConflictError is one
            return None
    return found


def _replayed(arena: Arena, family: Family, step: Candidate, source: Source) -> Source:
    edit = Edit(step.operator, step.variant, step.site)
    if step.operator == numbers.NAME:
        return numbers.applied(source, edit)
    if step.operator != CROSSOVER:
        return operators.apply(source, edit)
    by_commit = {candidate.commit: candidate for candidate in family.values()}
    mother, father = (by_commit[parent] for parent in step.parents)
    ancestor = common_ancestor(family, mother, father)
    return crossed(source_of(arena, ancestor), source, source_of(arena, father))
