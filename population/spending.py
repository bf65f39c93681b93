"""What a run has spent: every training, failure, gate and confirmation, in tokens, FLOPs and work."""

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
    work: int = 0  # nanoseconds, at fixed prices

    def __add__(self, other: Amount) -> Amount:
        return Amount(self.tokens + other.tokens, self.flops + other.flops, self.work + other.work)

    def __sub__(self, other: Amount) -> Amount:
        return Amount(self.tokens - other.tokens, self.flops - other.flops, self.work - other.work)

    def at_least_nothing(self) -> Amount:
        """Return it without what is negative."""
        return Amount(max(0, self.tokens), max(0, self.flops), max(0, self.work))


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
        self.token: Amount | None = None  # what a training token of the seed model costs

    @property
    def full(self) -> Amount:
        """What a full training of the seed model costs."""
        return self._training(self._settings.top)

    @property
    def birth(self) -> Amount:
        """What a birth should cost: its gates, and the first rung."""
        return self._training(0) + self._of_tokens(_GATE_UPDATES * self._settings.update)

    def expected(self, order: Order) -> Amount:
        """Return what an order should cost: what its rung does, less what has been trained before."""
        before = self._trained.get((order.number, order.seed), Amount())
        ahead = (self._training(order.rung) - before).at_least_nothing()
        return ahead + self._gates(order)

    def expect(self, order: Order) -> None:
        """Charge an order that is issued with what it should cost."""
        self._charge(order, self.expected(order))

    def settle(self, order: Order, outcome: Outcome, twin: bool) -> None:
        """Charge what an order has cost; a `twin` of another program only its gates."""
        if isinstance(outcome, Scored):
            reached = Amount(outcome.tokens, outcome.train_flops, outcome.work)
            if self.token is None:
                # rounded up: what the seed model's own updates cost has to pay for them
                each = (-(-amount // outcome.tokens) for amount in (reached.flops, reached.work))
                self.token = Amount(1, *each)
            cost = reached - self._trained.get((order.number, order.seed), Amount())
            self._trained[order.number, order.seed] = reached
            if twin:
                self.saved, cost = self.saved + cost, Amount()
            self._charge(order, cost + self._gates(order))
        elif isinstance(outcome, Rejected) and not outcome.trained:
            self._charge(order, self._gates(order))

    def until(self, rung: int) -> tuple[int, int, str]:
        """Return up to where a rung trains, where a full training ends, and the unit of both."""
        tokens, share, unit = self._settings.tokens, self._settings.share(rung), self._settings.unit
        if self.token is None:
            return tokens // share, tokens, "tokens"
        each = int(getattr(self.token, unit))
        return tokens // share * each, tokens * each, unit

    def _charge(self, order: Order, amount: Amount) -> None:
        self.total = self.total - self._by_order.get(order.index, Amount()) + amount
        self._by_order[order.index] = amount

    def _training(self, rung: int) -> Amount:
        return self._of_tokens(self._settings.tokens // self._settings.share(rung))

    def _gates(self, order: Order) -> Amount:
        if order.birth is None and order.reduction is None:
            return Amount()
        return self._of_tokens(_GATE_UPDATES * self._settings.update)

    def _of_tokens(self, tokens: int) -> Amount:
        token = self.token or Amount(1)
        return Amount(tokens, tokens * token.flops, tokens * token.work)
