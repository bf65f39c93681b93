"""The champion's own branch: a chain of one readable commit for each edit that it keeps."""

from __future__ import annotations

from collections.abc import Mapping

from foundry.cli.reduction import edits_of, replayed
from foundry.cli.run import Run
from genome import Candidate
from population.rebuild import CONFIRMED_AS
from population.search import SEED_MODEL
from population.stages.ablating import Ablating

_NUMBERS = 1_000_000  # commits of a champion's chain are numbered from here


def crowned(run: Run, family: Mapping[int, Candidate], ablating: Ablating) -> Candidate:
    """Return the candidate to crown: the last commit of the chain.

    The champion itself, where it keeps all of its edits and each has its own commit already.
    """
    whole = family[ablating.champion]
    if not ablating.dropped and len(edits_of(run.arena, whole)) == len(run.arena.lineage(whole)) - 1:
        return whole
    edits = replayed(run.arena, family, whole, ablating.dropped)
    assert edits is not None, "it has been trained"
    tip = family[SEED_MODEL]
    for place, (step, source) in enumerate(edits[1:], start=1):
        tip = run.arena.commit(
            {"model.py": source.model, "experiment.yaml": source.experiment},
            number=_NUMBERS + 1000 * whole.number + place,
            generation=whole.generation,
            parents=[tip],
            steps=[step],
            seed=whole.seed,
        )
    run.arena.note({tip: {CONFIRMED_AS: whole.name}})
    return tip
