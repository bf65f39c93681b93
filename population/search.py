"""The search as ask() and tell(): what to run next, and what came of it.

Orders are numbered, and order k is decided from the outcomes of orders 0 to k - 1 - lag, applied in their own
order, whatever else has arrived by then. So the same settings give the same orders on any number of workers,
and a run is continued by asking again from the start and telling what the ledger knows.
"""

from __future__ import annotations

import random
from collections import deque
from dataclasses import asdict, dataclass, replace

from foundry.trial.outcome import Outcome, Scored
from population import selection
from population.rungs import Rungs

SEED_MODEL = 0  # the birth number of the model that everything is compared with


@dataclass(frozen=True, kw_only=True)
class Settings:
    """All that decides a run, apart from the seed model, the operators and the data."""

    seed: int = 0
    generations: int = 20
    population: int = 8  # births in a generation
    tokens: int  # of a full training
    eta: int = 3
    height: int = 3  # rungs: tokens / 9, tokens / 3, tokens
    policy: str = "tournament"
    living: int = 8  # how many may be parents; the oldest leaves
    crossover: float = 0.1  # of the births have two parents
    base_seeds: int = 3  # full trainings of the seed model, for the noise between seeds
    finalists: int = 3
    confirm_seeds: int = 8  # six could not show a gain at 5% for three finalists unless all six agree

    @property
    def lag(self) -> int:
        """Orders that may be under way while the next is decided: a generation, so more use more workers."""
        return max(2, self.population)

    @property
    def births(self) -> int:
        """Candidates to be born in the whole run."""
        return self.generations * self.population

    def budget(self, rung: int) -> int:
        """Training tokens up to a rung."""
        return self.tokens // int(self.eta ** (self.height - 1 - rung))


@dataclass(frozen=True, kw_only=True)
class Birth:
    """Who is to be born, and of whom."""

    number: int
    generation: int
    parent: int
    mate: int | None = None  # the second parent; where the two do not merge, the first has the child alone


@dataclass(frozen=True, kw_only=True)
class Order:
    """One trial to run; where `birth` is given, the candidate has to be made first."""

    index: int = -1  # given when it is issued
    number: int
    rung: int
    seed: int
    split: str = "val_search"
    birth: Birth | None = None


class SeedModelFailed(ValueError):
    """The model that a run should start from did not survive its own first trial."""


class Search:
    """Decides births, promotions and confirmations; holds scores, not candidates."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.rungs = Rungs(settings.height, settings.eta, always=SEED_MODEL)
        self.seed_scores: list[float] = []  # of the seed model at the full budget, one per seed
        self.confirmed: dict[int, dict[int, float]] = {}  # number -> seed -> loss on val_confirm
        self.outcomes: dict[int, Outcome] = {}  # by order, as told
        self.orders: list[Order] = []
        self.births: list[Birth] = []
        self.finalists: list[int] | None = None
        self.finished = False
        self._living: deque[int] = deque([SEED_MODEL], maxlen=settings.living)
        self._choose = selection.policy(settings.policy)
        self._applied = 0
        others = range(settings.seed + 1, settings.seed + settings.base_seeds)
        self._queue = [Order(number=SEED_MODEL, rung=0, seed=settings.seed)]
        self._queue += [Order(number=SEED_MODEL, rung=self.rungs.top, seed=seed) for seed in others]

    def ask(self) -> Order | None:
        """Return the next order; None while it depends on outcomes not yet told, or when `finished`."""
        while self._applied < len(self.orders) - self.settings.lag:
            if not self._apply_next():
                return None
        while (draft := self._decide()) is None:
            if self._applied == len(self.orders):
                self.finished = True
                return None
            if not self._apply_next():
                return None
        order = replace(draft, index=len(self.orders))
        self.orders.append(order)
        return order

    def tell(self, order: Order, outcome: Outcome) -> None:
        """Report what became of an order; outcomes may come in any sequence.

        Raises:
            SeedModelFailed: it was the seed model, and it was not scored.
        """
        assert order.index not in self.outcomes
        if order.number == SEED_MODEL and not isinstance(outcome, Scored):
            raise SeedModelFailed(f"the seed model failed its own trial: {describe(outcome)}")
        self.outcomes[order.index] = outcome

    @property
    def phase(self) -> str:
        """Where the run is: base, search, confirm or done."""
        if self.finished:
            return "done"
        if self.finalists is not None:
            return "confirm"
        return "search" if self.births else "base"

    def resumable(self, spare: int = 8) -> set[int]:
        """Name those whose fate is open, and the best at each rung that may yet be sent to the next."""
        if self.finished:
            return set()
        unsettled = {order.number for order in self.orders[self._applied :]}  # running, or told and waiting
        return unsettled.union(*(self.rungs.waiting(rung)[:spare] for rung in range(self.rungs.top)))

    def _apply_next(self) -> bool:
        outcome = self.outcomes.get(self._applied)
        if outcome is None:
            return False
        order = self.orders[self._applied]
        self._applied += 1
        if isinstance(outcome, Scored):
            self._apply(order, outcome.loss)
        return True

    def _apply(self, order: Order, loss: float) -> None:
        if order.split == "val_confirm":
            self.confirmed.setdefault(order.number, {})[order.seed] = loss
            return
        if order.number == SEED_MODEL and order.rung == self.rungs.top:
            self.seed_scores.append(loss)
        if order.seed == self.settings.seed:
            self.rungs.record(order.number, order.rung, loss)
            if order.rung == self.rungs.top:
                self._rejuvenate(order.number)

    def _decide(self) -> Order | None:
        if self._queue:
            return self._queue.pop(0)
        if climber := self.rungs.promotable():
            return self._promotion(*climber)
        if len(self.births) < self.settings.births:
            return self._birth()
        if self._applied < len(self.orders):
            return None
        if self.finalists is None:
            self._queue = self._runners_up() or self._confirmations()
        return self._queue.pop(0) if self._queue else None

    def _rejuvenate(self, number: int) -> None:
        """Make a candidate the youngest of those that may be parents; the oldest leaves."""
        if number in self._living:
            self._living.remove(number)
        self._living.append(number)

    def _promotion(self, number: int, rung: int) -> Order:
        self.rungs.promote(number, rung)
        self._rejuvenate(number)
        return Order(number=number, rung=rung + 1, seed=self.settings.seed)

    def _birth(self) -> Order:
        number = len(self.births) + 1
        scored = [n for n in self._living if self.rungs.height_of(n) >= 0]
        rng = random.Random(f"parent/{self.settings.seed}/{number}")
        parent = self._choose(scored, self.rungs, rng) if scored else SEED_MODEL
        mate = self._mate(parent, scored, rng)
        generation = 1 + (number - 1) // self.settings.population
        birth = Birth(number=number, generation=generation, parent=parent, mate=mate)
        self.births.append(birth)
        return Order(number=number, rung=0, seed=self.settings.seed, birth=birth)

    def _mate(self, parent: int, scored: list[int], rng: random.Random) -> int | None:
        others = [number for number in scored if number != parent]
        if not others or rng.random() >= self.settings.crossover:
            return None
        return self._choose(others, self.rungs, rng)

    def _runners_up(self) -> list[Order]:
        """Send up the next best, quotas aside, where too few have reached the full budget."""
        arrived = len(self.rungs.losses[self.rungs.top].keys() - {SEED_MODEL})
        chosen = self.rungs.runners_up(self.settings.finalists - arrived)
        return [self._promotion(number, rung) for number, rung in chosen]

    def _confirmations(self) -> list[Order]:
        """Order fresh seeds for the best at the full budget and the seed model, on a split unseen so far."""
        ranked = [n for n in self.rungs.ranking(self.rungs.top) if n != SEED_MODEL]
        self.finalists = ranked[: self.settings.finalists]
        fresh = [self.settings.seed + 1000 + i for i in range(self.settings.confirm_seeds)]
        return [
            Order(number=number, rung=self.rungs.top, seed=seed, split="val_confirm")
            for seed in fresh
            for number in (SEED_MODEL, *self.finalists)
            if self.finalists
        ]


def describe(outcome: Outcome) -> str:
    """Say an outcome in a few words."""
    kind = type(outcome).__name__
    facts = asdict(outcome)
    if isinstance(outcome, Scored):
        return f"{outcome.loss:.4f} nats per token"
    return f"{kind}: " + ", ".join(str(value) for value in facts.values())
