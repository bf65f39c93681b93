"""The search as ask() and tell(): what to run next, and what came of it.

Orders are numbered, and order k is decided from the outcomes of orders 0 to k - 1 - lag, applied in their own
order, whatever else has arrived by then. So the same settings give the same orders on any number of workers,
and a run is continued by asking again from the start and telling what the ledger knows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, replace

from foundry.trial.outcome import Outcome, Scored
from population.archive import Archive
from population.orders import Birth, Born, Menu, Order
from population.settings import SEED_MODEL, Settings
from population.stages import Stage
from population.stages.ablating import Ablating
from population.stages.base import Base
from population.stages.breeding import Breeding
from population.stages.confirming import Confirming
from population.stages.testing import Testing

__all__ = ["SEED_MODEL", "Birth", "Order", "Search", "SeedModelFailed", "Settings", "describe"]


class SeedModelFailed(ValueError):
    """The model that a run should start from did not survive its own first trial."""


class Search:
    """Issues orders and applies their outcomes in turn; what to order is the stages' affair."""

    def __init__(self, settings: Settings, menu: Menu | None = None) -> None:
        self.settings = settings
        self.archive = Archive(settings)
        menu = menu or Menu()
        self.archive.born[SEED_MODEL] = Born(operators=(), numbers=menu.numbers)
        self.breeding = Breeding(self.archive, menu)
        self.confirming: Confirming | None = None
        self.ablating: Ablating | None = None
        self.outcomes: dict[int, Outcome] = {}  # by order, as told
        self.orders: list[Order] = []
        self.finished = False
        self._closings: list[tuple[int, int]] = []
        self._stages = self._in_turn()
        self._stage: Stage = next(self._stages)

    def ask(self) -> Order | None:
        """Return the next order; None while it depends on outcomes not yet told, or when `finished`."""
        while self.archive.applied < len(self.orders) - self.settings.lag:
            if not self._apply_next():
                return None
        while (draft := self._propose()) is None:
            if not (self.archive.settled or self._stage.released):
                if not self._apply_next():
                    return None
            elif (stage := next(self._stages, None)) is None:
                self.finished = True
                return None
            else:
                self._stage = stage
        order = replace(draft, index=len(self.orders))
        self.orders.append(order)
        self.archive.issued += 1
        self.archive.spending.expect(order)
        return order

    def introduce(self, number: int, born: Born) -> None:
        """Say what a candidate is, once it exists and before its trial is told."""
        self.archive.born[number] = born

    def tell(self, order: Order, outcome: Outcome) -> None:
        """Report what became of an order; outcomes may come in any sequence.

        Raises:
            SeedModelFailed: it was the seed model, and it was not scored.
        """
        assert order.index not in self.outcomes
        if order.number == SEED_MODEL and not isinstance(outcome, Scored) and order.split != "test":
            raise SeedModelFailed(f"the seed model failed its own trial: {describe(outcome)}")
        self.outcomes[order.index] = outcome

    def close(self, orders: int, allowance: int) -> None:
        """Let nobody be born once so many orders are issued; so many full trainings may follow the search.

        Said again for a later order, it changes how many may follow in all.
        """
        self._closings.append((orders, allowance))

    @property
    def phase(self) -> str:
        """Where the run is: base, search, confirm, ablate, test or done."""
        return "done" if self.finished else self._stage.name

    def resumable(self, spare: int = 8) -> set[int]:
        """Name those whose checkpoints may be wanted again.

        Whose fate is open, the best at each rung that may yet be sent to the next, whoever may hand on its
        weights, and at last the finalists, for the test.
        """
        if self.finished:
            return set()
        archive = self.archive
        unsettled = {order.number for order in self.orders[archive.applied :]}  # running, or told and waiting
        if self.confirming is not None:
            return unsettled | {SEED_MODEL, *self.confirming.finalists} | self._reductions()
        if self.settings.inherit:
            living = (self.breeding.islands.living(i) for i in range(self.settings.islands))
            unsettled = unsettled.union(*living)
        waiting = (archive.rungs.waiting(rung)[:spare] for rung in range(archive.rungs.top))
        return unsettled.union(*waiting)

    def _reductions(self) -> set[int]:
        return {order.number for order in self.orders if order.reduction}

    def _in_turn(self) -> Iterator[Stage]:
        """Yield the stages; each is made when the one before it is over."""
        archive = self.archive
        yield Base(archive)
        yield self.breeding
        self.confirming = Confirming(archive, self.breeding.races.incumbent)
        yield self.confirming
        champion = self.confirming.champion
        if champion is None:
            return
        self.ablating = Ablating(archive, champion, self.confirming.seeds)
        yield self.ablating
        yield Testing(archive, self.ablating.reduced or champion, self.confirming.seeds)

    def _propose(self) -> Order | None:
        for orders, allowance in self._closings:
            if len(self.orders) >= orders:
                self.archive.close(allowance)
        return self._stage.propose()

    def _apply_next(self) -> bool:
        outcome = self.outcomes.get(self.archive.applied)
        if outcome is None:
            return False
        order = self.orders[self.archive.applied]
        self.archive.apply(order, outcome)
        self._stage.hear(order, outcome)
        return True


def describe(outcome: Outcome) -> str:
    """Say an outcome in a few words."""
    kind = type(outcome).__name__
    facts = asdict(outcome)
    if isinstance(outcome, Scored):
        return f"{outcome.loss:.4f} nats per token"
    return f"{kind}: " + ", ".join(str(value) for value in facts.values())
