"""Births, promotions and races, until births or budget are used up."""

from __future__ import annotations

import random

from foundry.trial.outcome import Outcome, Scored
from population import samplers, selection
from population.archive import Archive
from population.credit import Credit
from population.islands import Islands
from population.orders import Birth, Menu, Order
from population.racing import Races
from population.settings import SEED_MODEL

NUMBERS = "numbers"  # the operator that sets what the sampler proposes
_WINDOW = 96  # candidates that the sampler learns from: the population moves on
_MOST_SIGMAS = 3.0  # that a gain is credited with: the first finds would drown all later ones
_FEWEST_NUMBERS = 3  # changed in one birth, where there are so many; at most, all


class Breeding:
    """Search. Operators are credited, the living kept, the best of each rung sent on and raced."""

    name = "search"
    released = False

    def __init__(self, archive: Archive, menu: Menu) -> None:
        settings = archive.settings
        self._archive = archive
        self._menu = menu
        self.credit = Credit(menu.operators)
        self.sizes = Credit([f"{size}" for size in settings.sizes])
        self.islands = Islands(settings, archive.rungs)
        self.races = Races(archive)
        self._choose = selection.policy(settings.policy)
        self._propose_numbers = samplers.sampler(settings.sampler)
        self._observed: list[int] = []  # candidates with a score at the first rung, as they came

    def propose(self) -> Order | None:
        """Return a race's next trial, else a promotion, else a birth; at last those who fill the final."""
        if order := self.races.propose():
            return order
        climber = self._archive.rungs.promotable(self._archive.sigma)
        if climber and self._archive.affords(self._archive.spending.expected(self._climb(*climber))):
            return self._promoted(*climber)
        if self._may_bear():
            return self._birth()
        if self._archive.settled and (missing := self._runner_up()):
            return self._promoted(*missing)
        return None

    def hear(self, order: Order, outcome: Outcome) -> None:
        """Credit the operator, and let the candidate be a parent or a challenger."""
        archive, number = self._archive, order.number
        if order.split != "val_search" or number in archive.twins:
            return
        if order.birth is not None:
            self._learn(order.birth, outcome)
        if order.seed != archive.seed_of(number):
            self.races.hear()
        elif not isinstance(outcome, Scored):
            return
        elif order.rung == archive.rungs.top:
            self.islands.rejuvenate(number)
            self.races.enter(number)

    def _may_bear(self) -> bool:
        archive = self._archive
        if len(archive.births) >= archive.settings.births or archive.closed:
            return False
        return archive.affords(archive.spending.birth)

    def _learn(self, birth: Birth, outcome: Outcome) -> None:
        archive, number = self._archive, birth.number
        born = archive.born.get(number)
        if born is None:
            return
        gain, cost = 0.0, 1.0
        if isinstance(outcome, Scored):
            losses = archive.rungs.losses[0]
            gain = losses[birth.parent] - losses[number] if birth.parent in losses else 0.0
            if sigma := archive.sigma(0):
                gain = min(gain / sigma, _MOST_SIGMAS)
            if archive.settings.unit == "tokens":  # else all first rungs cost the same
                cost = outcome.train_flops * archive.settings.share(0) / archive.spending.full.flops
            self._observed.append(number)
            if archive.rungs.top == 0:
                self.islands.rejuvenate(number)
        for operator in born.operators:
            self.credit.learn(operator, gain, cost, share=1 / len(born.operators))
        self.sizes.learn(f"{birth.edits}", gain, cost)

    def _climb(self, number: int, rung: int) -> Order:
        return Order(number=number, rung=rung + 1, seed=self._archive.seed_of(number))

    def _promoted(self, number: int, rung: int) -> Order:
        self._archive.rungs.promote(number, rung)
        if number != SEED_MODEL:
            self.islands.rejuvenate(number)
        return self._climb(number, rung)

    def _runner_up(self) -> tuple[int, int] | None:
        """Name the next best, quotas aside, where too few have reached the full budget."""
        rungs = self._archive.rungs
        arrived = len(rungs.losses[rungs.top].keys() - {SEED_MODEL})
        chosen = rungs.runners_up(self._archive.settings.finalists - arrived)
        return chosen[0] if chosen else None

    def _birth(self) -> Order:
        archive, settings = self._archive, self._archive.settings
        number = len(archive.births) + 1
        self.islands.migrate(number)
        rng = random.Random(f"parent/{settings.seed}/{number}")
        living = self.islands.living(self.islands.home(number))
        parent = self._choose(living, archive, rng) if living else SEED_MODEL
        mate = self._mate(parent, living, rng)
        operators = self._operators(number)
        birth = Birth(
            number=number,
            generation=1 + (number - 1) // settings.population,
            parent=parent,
            mate=mate,
            operators=operators,
            edits=self._edits(number),
            numbers=self._numbers(number, parent) if operators[:1] == (NUMBERS,) else (),
        )
        archive.births.append(birth)
        archive.offspring[parent] += 1
        return Order(number=number, rung=0, seed=archive.seed_of(number), birth=birth)

    def _mate(self, parent: int, living: list[int], rng: random.Random) -> int | None:
        others = [number for number in living if number != parent]
        if not others or rng.random() >= self._archive.settings.crossover:
            return None
        return self._choose(others, self._archive, rng)

    def _operators(self, number: int) -> tuple[str, ...]:
        settings, names = self._archive.settings, self._menu.operators
        rng = random.Random(f"operators/{settings.seed}/{number}")
        order = self.credit.preference(rng) if settings.bandit else tuple(rng.sample(names, len(names)))
        first, later = settings.number_shares
        if NUMBERS in names and rng.random() < (first if number <= settings.population else later):
            return (NUMBERS, *(name for name in order if name != NUMBERS))
        return order

    def _edits(self, number: int) -> int:
        """Say how many edits a birth should have."""
        settings = self._archive.settings
        if number <= settings.population:
            return settings.sizes[(number - 1) % len(settings.sizes)]
        rng = random.Random(f"edits/{settings.seed}/{number}")
        return int(self.sizes.preference(rng)[0])

    def _numbers(self, number: int, parent: int) -> tuple[tuple[str, float], ...]:
        """Propose new values for some of the parent's numbers."""
        archive = self._archive
        genes = {n: g for n, g in (self._menu.genes or {}).items() if n in archive.born[parent].numbers}
        if not genes:
            return ()
        losses = archive.rungs.losses[0]
        observed = [(archive.born[n].numbers, losses[n]) for n in self._observed[-_WINDOW:]]
        rng = random.Random(f"numbers/{archive.settings.seed}/{number}")
        proposed = self._propose_numbers(genes, observed, rng)
        count = rng.randint(min(_FEWEST_NUMBERS, len(genes)), len(genes))
        chosen = rng.sample(sorted(genes), count)
        return tuple((name, proposed[name]) for name in sorted(chosen))
