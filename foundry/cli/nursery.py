"""Where candidates are born: edits of one parent, or a cross of two, become a commit in the arena."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from textwrap import shorten

import operators
from foundry.cli.crossing import cross, source_of
from foundry.cli.editing import applied, step_of
from foundry.cli.reduction import CROSSOVER, edits_of, reduced
from foundry.cli.run import Plan
from foundry.errors import UserError
from foundry.training import experiment
from genome import Arena, Candidate, Step
from operators import Edit, Source, numbers
from population.ledger import Ledger
from population.orders import Birth, Born, Order, Reduction
from population.replay import born
from population.settings import SEED_MODEL
from population.table import short_name

ATTEMPTS = 24  # edits tried before a birth is given up


@dataclass(frozen=True)
class _Found:
    """A child that may be born."""

    source: Source
    program: str  # canonical form
    parents: list[Candidate]
    steps: tuple[Step, ...]


class Nursery:
    """Makes each candidate that the search orders, once; what the ledger remembers is not made again."""

    def __init__(self, arena: Arena, ledger: Ledger, seed_model: Candidate, plan: Plan) -> None:
        self.family: dict[int, Candidate] = {SEED_MODEL: seed_model}
        self._arena = arena
        self._ledger = ledger
        self._first_rung = (
            plan.search.tokens if plan.search.unit == "flops" else plan.search.tokens // plan.search.share(0)
        )
        source = source_of(arena, seed_model)
        self._known = {operators.canonical(source)}
        self._born = {SEED_MODEL: Born(operators=(), numbers=numbers.present(source))}
        self._remembered = ledger.births()
        self._by_commit = (
            {candidate.commit: candidate for candidate in arena.candidates()} if self._remembered else {}
        )

    def candidate(self, order: Order) -> Candidate | None:
        """Return the candidate of an order, born now if need be; None where there is nothing to be born."""
        if order.birth is None and order.reduction is None:
            return self.family.get(order.number)
        child = self._recall(order)
        if child is not None:
            self.family[order.number] = child
        return child

    def born(self, number: int) -> Born:
        """Say what the search has to know of a candidate, or of a birth that came to nothing."""
        return self._born[number]

    def _recall(self, order: Order) -> Candidate | None:
        body = self._remembered.get(order.number)
        if body is None:
            return self._bear(order)
        self._born[order.number] = born(body)
        if body["commit"] is None:
            return None
        if body["commit"] not in self._by_commit:  # its branch was deleted: make it again, to the same commit
            return self._bear(order)
        self._known.add(body["program"])
        return self._by_commit[body["commit"]]

    def _bear(self, order: Order) -> Candidate | None:
        if order.birth is not None:
            found = self._of_two(order.birth) or self._of_one(order.birth)
            generation = order.birth.generation
        else:
            assert order.reduction is not None
            found = self._without(order.reduction)
            generation = self.family[order.reduction.of].generation
        child = self._commit(order.number, generation, found) if found else None
        self._born[order.number] = Born(
            operators=tuple(step.operator for step in found.steps) if found else (),
            numbers=numbers.present(found.source) if found else {},
        )
        body = {
            "commit": child.commit if child else None,
            "program": found.program if found else None,
            **vars(self._born[order.number]),
        }
        self._ledger.record_birth(order.number, body)
        return child

    def _commit(self, number: int, generation: int, found: _Found) -> Candidate:
        self._known.add(found.program)
        return self._arena.commit(
            {"model.py": found.source.model, "experiment.yaml": found.source.experiment},
            number=number,
            generation=generation,
            parents=found.parents,
            steps=found.steps,
            seed=found.parents[0].seed,
        )

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
        step = Step(operator=CROSSOVER, variant=names[1], site="", words=f"cross {names[0]} with {names[1]}")
        return _Found(source, program, [mother, father], (step,))

    def _of_one(self, birth: Birth) -> _Found | None:
        """Try the operators in the order of the birth, each with a few of its edits, for a new program."""
        parent = self.family[birth.parent]
        source = source_of(self._arena, parent)
        rng = random.Random(f"edit/{parent.seed}/{birth.number}")
        for steps, child in _children(source, birth, rng, self._fits):
            if program := self._new(child):
                return _Found(child, program, [parent], steps)
        return None

    def _without(self, reduction: Reduction) -> _Found | None:
        """Make a candidate again without some of the edits that made it."""
        whole = self.family[reduction.of]
        source = reduced(self._arena, self.family, whole, reduction.without)
        if source is None:
            return None
        edits = edits_of(self._arena, whole)
        step = Step(
            operator="ablation",
            variant=f"without-{'-'.join(map(str, reduction.without))}"[:60],
            site="",
            words=shorten("without " + ", ".join(edits[place - 1].words for place in reduction.without), 200),
        )
        return _Found(source, operators.canonical(source), [whole], (step,))

    def _new(self, child: Source) -> str | None:
        """Return the canonical form of a program not seen before, if the first rung pays for a step of it."""
        program = operators.canonical(child)
        return program if program not in self._known and self._fits(child) else None

    def _fits(self, child: Source) -> bool:
        try:
            return experiment.parse(child.experiment).tokens_per_step <= self._first_rung
        except UserError:  # two parents' numbers may not go together
            return False


def _children(
    source: Source, birth: Birth, rng: random.Random, fits: Callable[[Source], bool]
) -> Iterator[tuple[tuple[Step, ...], Source]]:
    """Yield up to `ATTEMPTS` lists of edits and what they make, each with one edit of an operator.

    All have as many as the birth asks for; they differ in the last, and what the others make `fits`. The last
    list has fewer, for where the operators offer no more.
    """
    left = ATTEMPTS
    made: tuple[Step, ...] = ()
    for name in birth.operators:
        edits = _edits(name, source, birth)
        for edit in rng.sample(edits, min(len(edits), _TRIES, left)):
            left -= 1
            child, steps = applied(source, edit), (*made, step_of(edit))
            if len(steps) == birth.edits:
                yield steps, child
            elif fits(child):
                source, made = child, steps
                break
        if left <= 0:
            break
    if made:
        yield made, source


def _edits(name: str, source: Source, birth: Birth) -> list[Edit]:
    if name == numbers.NAME:
        return [numbers.edit(birth.numbers)] if birth.numbers else []
    return operators.lookup(name).sites(source)


_TRIES = 3  # edits of one operator, before the next has its turn
