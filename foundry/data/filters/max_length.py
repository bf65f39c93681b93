"""Keep what has at most so many characters."""

from __future__ import annotations


def keep(unit: str, threshold: float) -> bool:
    """Say whether the unit is short enough."""
    return len(unit) <= threshold
