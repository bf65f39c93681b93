"""All that is known of a run's candidates: who they are, and every outcome, applied in the order of issue."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from itertools import accumulate, pairwise

from foundry.trial.outcome import Outcome, Scored
from population.orders import Birth, Born, Order
from population.rungs import Rungs
from population.settings import SEED_MODEL, Settings
from population.spending import Amount, Spending
from population.statistics import sigma

_RESERVE = 0.3  # of a budget at most, for confirming, ablating and the test
_ABLATED = 10  # edits that an ablation is expected to try
CLIMBS = 2  # full trainings that those who were born may yet climb by when the time for births is up

OBJECTIVES: Mapping[str, Callable[[Scored], float]] = {
    "loss": lambda scored: scored.loss,
    "params": lambda scored: float(scored.params),
    "work": lambda scored: scored.work / scored.tokens,
    "flops": lambda scored: scored.train_flops / scored.tokens,
    "kv_bytes": lambda scored: float(scored.kv_bytes_per_token),
    "tokens_per_second": lambda scored: -scored.tokens_per_second,  # by the clock: such a run is not replayed
}


class Archive:
    """Scores by candidate, rung, seed and split. Decisions are taken from it alone.

    Of programs that compute the same, all but the first are twins: known, never promoted, never parents.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.rungs = Rungs(settings.height, settings.eta, always=SEED_MODEL)
        self.spending = Spending(settings)
        self.births: list[Birth] = []
        self.born: dict[int, Born] = {}
        self.searched: dict[tuple[int, int], dict[int, Scored]] = {}  # (number, rung) -> seed -> val_search
        self.confirmed: dict[int, dict[int, float]] = {}  # number -> seed -> loss on val_confirm
        self.tested: dict[int, dict[int, float]] = {}  # number -> seed -> loss on test
        self.twins: dict[int, int] = {}  # number -> who computes the same
        self.offspring: Counter[int] = Counter()
        self.failed: set[int] = set()
        self.unconfirmed: set[int] = set()  # failed with a seed of confirmation
        self.closed = False  # no more births: the time is up
        self.allowance = 0  # full trainings for confirming and ablating, where it was closed
        self._climbing = 0  # work up to which there may be climbs, where it was closed
        self.issued = 0
        self.applied = 0
        self._functions: dict[str, int] = {}

    @property
    def settled(self) -> bool:
        """Whether nothing is under way."""
        return self.applied == self.issued

    def seed_of(self, number: int) -> int:
        """Return the seed with which a candidate is searched: the same for all, where they are paired."""
        paired = self.settings.pairing or number == SEED_MODEL
        return self.settings.seed + (0 if paired else 10_000 + number)

    def apply(self, order: Order, outcome: Outcome) -> None:
        """Take note of an outcome."""
        self.applied += 1
        twin = self._is_twin(order, outcome)
        self.spending.settle(order, outcome, twin)
        if not isinstance(outcome, Scored):
            self.failed.add(order.number)
            if order.split == "val_confirm":
                self.unconfirmed.add(order.number)
        elif order.split == "val_confirm":
            self.confirmed.setdefault(order.number, {})[order.seed] = outcome.loss
        elif order.split == "test":
            self.tested.setdefault(order.number, {})[order.seed] = outcome.loss
        elif not twin:
            self.searched.setdefault((order.number, order.rung), {})[order.seed] = outcome
            if order.seed == self.seed_of(order.number):
                self.rungs.record(order.number, order.rung, outcome.loss)

    def sigma(self, rung: int) -> float:
        """Return the noise of one score at a rung, from the seed model's; 0 while nobody knows.

        While it has one score at a rung, or none, the noise of the rung below stands for it.
        """
        for below in range(rung, -1, -1):
            losses = [scored.loss for scored in self.searched.get((SEED_MODEL, below), {}).values()]
            if len(losses) > 1:
                return sigma(losses)
        return 0.0

    def losses(self, number: int) -> dict[int, float]:
        """Return a candidate's losses at the full budget by seed, on the split of the search."""
        scores = self.searched.get((number, self.rungs.top), {})
        return {seed: scored.loss for seed, scored in scores.items()}

    def objectives(self, number: int, rung: int) -> tuple[float, ...]:
        """Return what the settings ask to be small, in their order, at a rung."""
        scored = self.searched[number, rung][self.seed_of(number)]
        return tuple(OBJECTIVES[name](scored) for name in self.settings.objectives)

    def lineage(self, number: int) -> list[int]:
        """List a candidate's first-parent ancestors, the seed model left out, itself last."""
        found: list[int] = []
        while number != SEED_MODEL:
            found.append(number)
            number = self.births[number - 1].parent
        return found[::-1]

    def edits(self, number: int) -> list[tuple[int, ...]]:
        """Number the edits that made a candidate of the seed model, from 1, birth by birth."""
        ends = accumulate(len(self.born[member].operators) for member in self.lineage(number))
        return [tuple(range(before + 1, end + 1)) for before, end in pairwise((0, *ends)) if end > before]

    def close(self, allowance: int) -> None:
        """End births and races; so many full trainings may follow the search."""
        if not self.closed:
            self._climbing = self.spending.total.work + CLIMBS * self.spending.full.work
        self.closed, self.allowance = True, allowance

    def affords(self, more: Amount) -> bool:
        """Say whether the budget has room for so much of search beside what the end of the run may take."""
        settings = self.settings
        if self.closed:
            return (self.spending.total + more).work <= self._climbing
        if settings.budget is None or settings.budget_unit == "seconds":
            return True
        amounts = (self.spending.total + more, self.spending.full)
        after, full = (getattr(amount, settings.budget_unit) for amount in amounts)
        ending = settings.looks[-1] * (settings.finalists + 1) + _ABLATED * settings.ablation_seeds
        reserve = min(_RESERVE * settings.budget, ending * full)
        return bool(after + reserve <= settings.budget)

    def trainings_left(self) -> float:
        """Return how many full trainings the end of the run may take."""
        settings = self.settings
        if self.closed:
            return self.allowance - sum(map(len, self.confirmed.values()))
        if settings.budget is None or settings.budget_unit == "seconds":
            return float("inf")
        spent, full = (getattr(a, settings.budget_unit) for a in (self.spending.total, self.spending.full))
        return float((settings.budget - spent) // full)

    def _is_twin(self, order: Order, outcome: Outcome) -> bool:
        if not isinstance(outcome, Scored) or not outcome.function or order.split != "val_search":
            return False
        first = self._functions.setdefault(outcome.function, order.number)
        if first != order.number:
            self.twins[order.number] = first
        return first != order.number
