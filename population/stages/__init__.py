"""The stages of a run, one after the other; each proposes orders and hears what became of them.

A stage is over when it proposes nothing although every order is settled, or as soon as it says so.
"""

from __future__ import annotations

from typing import Protocol

from foundry.trial.outcome import Outcome
from population.orders import Order


class Stage(Protocol):
    """One part of a run."""

    name: str

    @property
    def released(self) -> bool:
        """Whether the next stage may begin while orders of this one are under way."""

    def propose(self) -> Order | None:
        """Return what to run next; None while that depends on outcomes not yet known, or when all is done."""

    def hear(self, order: Order, outcome: Outcome) -> None:
        """Take an outcome that the archive knows already."""
