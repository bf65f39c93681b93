"""Where candidates are born: an edit of one parent, or a cross of two, becomes a commit in the arena."""

from __future__ import annotations

import random
from dataclasses import dataclass

import operators
from foundry.cli.crossing import cross, source_of
from foundry.cli.run import Plan
from foundry.errors import UserError
from foundry.training import experiment
from genome import Arena, Candidate
from operators import Edit, Source
from population.ledger import Ledger
from population.search import SEED_MODEL, Birth, Order
from population.table import short_name

ATTEMPTS = 24  # edits tried before a birth is given up
CROSSOVER = "crossover"  # stands where the operator stands in a commit's trailers


@dataclass(frozen=True)
class _Found:
    """A child that may be born."""

    source: Source
    program: str  # canonical form
    parents: list[Candidate]
    edit: Edit
    words: str


class Nursery:
    """Makes each candidate that the search orders, once; what the ledger remembers is not made again."""

    def __init__(self, arena: Arena, ledger: Ledger, seed_model: Candidate, plan: Plan) -> None:
        self.family: dict[int, Candidate] = {SEED_MODEL: seed_model}
        self._arena = arena
        self._ledger = ledger
        self._allowed = frozenset(plan.operators)
        self._first_rung = plan.search.budget(0)
        self._known = {operators.canonical(source_of(arena, seed_model))}
        self._remembered = ledger.births()
        self._by_commit = (
            {candidate.commit: candidate for candidate in arena.candidates()} if self._remembered else {}
        )

    def candidate(self, order: Order) -> Candidate | None:
        """Return the candidate of an order, born now if need be; None where no new program was found."""
        if order.birth is None:
            return self.family[order.number]
        child = self._recall(order.birth) if order.number in self._remembered else self._bear(order.birth)
        if child is not None:
            self.family[order.number] = child
        return child

    def _recall(self, birth: Birth) -> Candidate | None:
        body = self._remembered[birth.number]
        if body["commit"] is None:
            return None
        if body["commit"] not in self._by_commit:  # its branch was deleted: make it again, to the same commit
            return self._bear(birth)
        self._known.add(body["program"])
        return self._by_commit[body["commit"]]

    def _bear(self, birth: Birth) -> Candidate | None:
        found = self._of_two(birth) or self._of_one(birth)
        if found is None:
            self._ledger.record_birth(birth.number, {"commit": None, "program": None})
            return None
        self._known.add(found.program)
        child = self._arena.commit(
            {"model.py": found.source.model, "experiment.yaml": found.source.experiment},
            number=birth.number,
            generation=birth.generation,
            parents=found.parents,
            words=found.words,
            operator=found.edit.operator,
            variant=found.edit.variant,
            site=found.edit.site,
            seed=found.parents[0].seed,
        )
        self._ledger.record_birth(birth.number, {"commit": child.commit, "program": found.program})
        return child

    def _of_two(self, birth: Birth) -> _Found | None:
        """Cross the two parents, where there are two whose changes go together to a new program."""
        if birth.mate is None:
            return None
        mother, father = self.family[birth.parent], self.family[birth.mate]
        source = cross(self._arena, self.family, mother, father)
        program = self._new(source) if source else None
        if source is None or program is None:
            return None
        names = [short_name(parent.name) for parent in (mother, father)]
        edit = Edit(CROSSOVER, names[1], "")
        words = f"cross {names[0]} with {names[1]}"
        return _Found(source, program, [mother, father], edit, words)

    def _of_one(self, birth: Birth) -> _Found | None:
        """Draw an operator, then one of its edits, until the child is a program not seen before."""
        parent = self.family[birth.parent]
        source = source_of(self._arena, parent)
        rng = random.Random(f"edit/{parent.seed}/{birth.number}")
        names, menu = sorted(self._allowed), dict[str, list[Edit]]()
        for _ in range(ATTEMPTS):
            edit = draw(source, names, menu, rng)
            if edit is None:
                return None
            child = operators.apply(source, edit)
            if program := self._new(child):
                return _Found(child, program, [parent], edit, operators.words(edit))
        return None

    def _new(self, child: Source) -> str | None:
        """Return the canonical form of a program not seen before, if the first rung pays for a step of it."""
        program = operators.canonical(child)
        if program in self._known:
            return None
        try:
            step = experiment.parse(child.experiment).tokens_per_step
        except UserError:  # two parents' numbers may not go together
            return None
        return program if step <= self._first_rung else None


def draw(source: Source, names: list[str], menu: dict[str, list[Edit]], rng: random.Random) -> Edit | None:
    """Draw an operator of those that find something, then one of its edits.

    Only those drawn are asked what they find; `menu` remembers it, and `names` loses who finds nothing.
    """
    while names:
        name = rng.choice(names)
        if name not in menu:
            menu[name] = operators.lookup(name).sites(source)
        if menu[name]:
            return rng.choice(menu[name])
        names.remove(name)
    return None
