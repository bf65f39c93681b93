"""What a run has spent: every training, failure, gate and confirmation, in tokens and in FLOPs."""

from __future__ import annotations

from dataclasses import dataclass

from foundry.trial.outcome import Outcome, Rejected, Scored
from population.orders import Order
from population.settings import Settings

_GATE_UPDATES = 2  # of the seed model: what the gates take in time


@dataclass(frozen=True)
class Amount:
    """An amount of training."""

    tokens: int = 0
    flops: int = 0

    def __add__(self, other: Amount) -> Amount:
        return Amount(self.tokens + other.tokens, self.flops + other.flops)

    def __sub__(self, other: Amount) -> Amount:
        return Amount(self.tokens - other.tokens, self.flops - other.flops)


class Spending:
    """Adds up by order: what it is expected to cost when it is issued, what it did cost once it is settled.

    Nobody can count what a trial that crashed or was killed has done: it is charged in full.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._by_order: dict[int, Amount] = {}
        self.total = Amount()  # trials under way included
        self._trained: dict[tuple[int, int], Amount] = {}  # by candidate and seed, from the start
        self.saved = Amount()  # by programs that compute what another one does
        self.flops_per_token = 0  # of the seed model

    @property
    def full(self) -> Amount:
        """What a full training of the seed model costs."""
        return self._training(self._settings.top)

    def expect(self, order: Order) -> None:
        """Charge an order that is issued with what its rung costs."""
        before = self._trained.get((order.number, order.seed), Amount())
        cost = self._training(order.rung)
        ahead = Amount(max(0, cost.tokens - before.tokens), max(0, cost.flops - before.flops))
        self._charge(order, ahead + self._gates(order))

    def settle(self, order: Order, outcome: Outcome, twin: bool) -> None:
        """Charge what an order has cost; a `twin` of another program only its gates."""
        if isinstance(outcome, Scored):
            if not self.flops_per_token:
                self.flops_per_token = outcome.train_flops // outcome.tokens
            reached = Amount(outcome.tokens, outcome.train_flops)
            cost = reached - self._trained.get((order.number, order.seed), Amount())
            self._trained[order.number, order.seed] = reached
            if twin:
                self.saved, cost = self.saved + cost, Amount()
            self._charge(order, cost + self._gates(order))
        elif isinstance(outcome, Rejected):
            self._charge(order, self._gates(order))

    def until(self, rung: int) -> tuple[int, int, str]:
        """Return up to where a rung trains, where a full training ends, and the unit of both."""
        tokens, share = self._settings.tokens, self._settings.share(rung)
        if self._settings.unit == "flops" and self.flops_per_token:
            flops = tokens * self.flops_per_token
            return tokens // share * self.flops_per_token, flops, "flops"
        return tokens // share, tokens, "tokens"

    def _charge(self, order: Order, amount: Amount) -> None:
        self.total = self.total - self._by_order.get(order.index, Amount()) + amount
        self._by_order[order.index] = amount

    def _training(self, rung: int) -> Amount:
        tokens = self._settings.tokens // self._settings.share(rung)
        return Amount(tokens, tokens * self.flops_per_token)

    def _gates(self, order: Order) -> Amount:
        if order.birth is None and order.reduction is None:
            return Amount()
        tokens = _GATE_UPDATES * self._settings.update
        return Amount(tokens, tokens * self.flops_per_token)
