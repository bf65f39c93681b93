"""Edits of both kinds, an operator's and the sampler's: carried out, and as a commit records them."""

from __future__ import annotations

import operators
from genome import Step
from operators import Edit, Source, numbers


def applied(source: Source, edit: Edit) -> Source:
    """Return the source after an edit.

    Raises:
        ValueError, KeyError: the source does not offer it.
    """
    return numbers.applied(source, edit) if edit.operator == numbers.NAME else operators.apply(source, edit)


def step_of(edit: Edit) -> Step:
    """Return what the commit of a candidate says of an edit."""
    say = numbers.words if edit.operator == numbers.NAME else operators.words
    return Step(operator=edit.operator, variant=edit.variant, site=edit.site, words=say(edit))
