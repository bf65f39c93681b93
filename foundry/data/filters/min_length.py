"""Keep what has at least so many characters."""

from __future__ import annotations


def keep(unit: str, threshold: float) -> bool:
    """Say whether the unit is long enough."""
    return len(unit) >= threshold
