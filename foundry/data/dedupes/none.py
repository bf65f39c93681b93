"""Keep every unit."""

from __future__ import annotations

from collections.abc import Callable


def build() -> Callable[[str], bool]:
    """Return a function that finds everything new."""
    return lambda unit: True
