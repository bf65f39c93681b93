"""What a user did wrong, in one sentence."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(ValueError):
    """A mistake in what the program was given; the message names the thing and the remedy."""


def unknown(kind: str, name: str, known: Iterable[str]) -> UserError:
    """Say that `name` is no known `kind`, and name the nearest one that is."""
    names = sorted(known)
    nearest = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f"did you mean {nearest[0]!r}?" if nearest else f"known: {', '.join(names)}"
    return UserError(f"unknown {kind} {name!r}: {hint}")
