"""The champion's own branch: where ablation dropped edits, a chain of one readable commit per edit left."""

from __future__ import annotations

from collections.abc import Mapping

from foundry.cli.reduction import steps
from foundry.cli.run import Run
from genome import Candidate
from population.search import SEED_MODEL
from population.stages.ablating import Ablating

_NUMBERS = 1_000_000  # commits of a champion's chain are numbered from here


def crowned(run: Run, family: Mapping[int, Candidate], ablating: Ablating) -> Candidate:
    """Return the candidate to crown: the champion itself, or the last commit of its reduced chain."""
    whole = family[ablating.champion]
    if not ablating.dropped:
        return whole
    replayed = steps(run.arena, family, whole, ablating.dropped)
    assert replayed is not None, "it has been trained"
    tip = family[SEED_MODEL]
    for place, (step, source) in enumerate(replayed[1:], start=1):
        tip = run.arena.commit(
            {"model.py": source.model, "experiment.yaml": source.experiment},
            number=_NUMBERS + 1000 * whole.number + place,
            generation=whole.generation,
            parents=[tip],
            words=step.words,
            operator=step.operator,
            variant=step.variant,
            site=step.site,
            seed=whole.seed,
        )
    return tip
