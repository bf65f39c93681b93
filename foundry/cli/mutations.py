"""The source that an experiment names: its base model, changed by its list of mutations."""

from __future__ import annotations

import operators
from foundry.errors import UserError, unknown
from foundry.seed import read_model
from foundry.training.experiment import Experiment
from operators import Edit, Source


def derived(text: str, parsed: Experiment) -> Source:
    """Return the model that an experiment describes, beside the experiment's own text.

    Raises:
        UserError: a mutation does not apply, in words that name what does.
    """
    source = Source(read_model(parsed.base_model), text)
    for mutation in parsed.mutations:
        operator, _, rest = mutation.partition(" ")
        variant, _, site = rest.partition(" @ ")
        changed = operators.apply(source, find_edit(source, operator, variant, site or None))
        source = Source(changed.model, text)
    return source


def is_there(source: Source, operator: str, variant: str) -> bool:
    """Tell whether a variant is what a source has: any other one of the operator has it as its way back."""
    if (known := operators.load().get(operator)) is None:
        return False
    offered = known.sites(source)
    for edit in offered if variant not in {edit.variant for edit in offered} else ():
        child = operators.apply(source, edit)
        back = [way for way in known.sites(child) if (way.variant, way.site) == (variant, edit.site)]
        if any(operators.apply(child, way) == source for way in back):
            return True
    return False


def find_edit(source: Source, operator: str, variant: str, site: str | None = None) -> Edit:
    """Find the one edit of that operator and variant, at that site where there are several.

    Raises:
        UserError: there is none, or more than one.
    """
    known = operators.load()
    if operator not in known:
        raise unknown("operator", operator, known)
    variant = known[operator].aliases.get(variant, variant)
    offered = known[operator].sites(source)
    if not offered:
        raise UserError(f"{operator} finds nothing to change here. What it does: {known[operator].summary}")
    edits = [edit for edit in offered if edit.variant == variant]
    if not edits and is_there(source, operator, variant):
        raise UserError(f"{operator} {variant} is what is there already")
    if not edits:
        raise unknown(f"variant of {operator}", variant, {edit.variant for edit in offered})
    if site is None and len(edits) > 1:
        raise UserError(
            f"{operator} {variant} fits in several places, choose one with --site: "
            f"{', '.join(edit.site for edit in edits)}"
        )
    chosen = [edit for edit in edits if site in (None, edit.site)]
    if not chosen:
        raise unknown(f"site of {operator} {variant}", site or "", [edit.site for edit in edits])
    return chosen[0]
