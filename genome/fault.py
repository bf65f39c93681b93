"""What is wrong with an arena, what is to be done, and the deed where a program may do it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One thing that is wrong; without `mend` the remedy is for a person."""

    what: str
    remedy: str
    mend: Callable[[], None] | None = None
