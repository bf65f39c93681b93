"""Keep what consists of letters to at least this share, white space not counted: no tables, no markup."""

from __future__ import annotations


def keep(unit: str, threshold: float) -> bool:
    """Say whether there are enough letters; there are none in an empty unit."""
    seen = [character for character in unit if not character.isspace()]
    return sum(map(str.isalpha, seen)) >= threshold * max(1, len(seen))
