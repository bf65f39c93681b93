"""Keep what has at most this share of lines that repeat an earlier one: no menus, no boilerplate.

After the repetition filters of Rae et al. 2021 (Gopher), section A.1.1.
"""

from __future__ import annotations


def keep(unit: str, threshold: float) -> bool:
    """Say whether few enough lines are repeated; blank lines are not counted."""
    lines = [line.strip() for line in unit.splitlines() if line.strip()]
    return len(lines) - len(set(lines)) <= threshold * len(lines)
