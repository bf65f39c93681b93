"""What a sweep trains: a baseline and variants of it, all checked before anything is written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import operators
from foundry.cli.mutant import Mutant, mutant
from foundry.cli.mutations import find_edit, is_there
from foundry.cli.paired import Outcomes, Side, failure, require_same_data, side
from foundry.cli.prepared import prepare, read_text
from foundry.errors import UserError, unknown
from operators import Source
from population.search import describe

ALL = "all"


@dataclass(frozen=True)
class Plan:
    """The baseline, and its variants by name."""

    base: str  # path
    source: Source  # the baseline's
    baseline: Side
    mutants: dict[str, Mutant]
    variants: dict[str, Side]

    @property
    def sides(self) -> list[Side]:
        """All that is trained, the baseline first."""
        return [self.baseline, *self.variants.values()]


def plan_sweep(base: str, operator: str, variants: Sequence[str], site: str | None, seeds: int) -> Plan:
    """Make every variant of the experiment in the file `base`; `all` stands for all that there are.

    Raises:
        UserError: the base cannot be used, or an operator, variant or site is not one.
    """
    text = read_text(base)
    ready = prepare(text, base)
    source = Source(ready.model, text)
    named = _all(source, operator, site) if ALL in variants else variants
    if others := [variant for variant in named if not is_there(source, operator, variant)]:
        named = others  # what the baseline has already is trained beside them as it is
    mutants = {
        variant: mutant(source, find_edit(source, operator, variant, site), base)
        for variant in dict.fromkeys(named)
    }
    sides = {
        variant: side(prepare(each.source.experiment, f"{each.name}.yaml"), seeds)
        for variant, each in mutants.items()
    }
    plan = Plan(base, source, side(ready, seeds), mutants, sides)
    require_same_data(plan.sides)
    return plan


def require_baseline(plan: Plan, outcomes: Outcomes) -> None:
    """Check that the baseline has not failed, or the rest would be trained for nothing.

    Raises:
        UserError: it has.
    """
    if found := failure(plan.baseline, outcomes):
        job, outcome = found
        raise UserError(f"{plan.base} cannot be a baseline: seed {job.seed} {describe(outcome)}")


def _all(source: Source, operator: str, site: str | None) -> list[str]:
    known = operators.load()
    offered = known[operator].sites(source) if operator in known else []
    there = [edit for edit in offered if site in (None, edit.site)]
    if site is not None and offered and not there:
        raise unknown(f"site of {operator}", site, {edit.site for edit in offered})
    return [edit.variant for edit in there] or [ALL]  # of which find_edit says why there is none
