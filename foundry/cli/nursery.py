"""Where candidates are born: an operator rewrites a parent's source, the arena commits the child."""

from __future__ import annotations

import random

import operators
from foundry.cli.run import Plan
from foundry.training import experiment
from genome import Arena, Candidate
from operators import Edit, Source
from population.ledger import Ledger
from population.search import SEED_MODEL, Birth, Order

ATTEMPTS = 24  # edits tried before a birth is given up


class Nursery:
    """Makes each candidate that the search orders, once; what the ledger remembers is not made again."""

    def __init__(self, arena: Arena, ledger: Ledger, seed_model: Candidate, plan: Plan) -> None:
        self.family: dict[int, Candidate] = {SEED_MODEL: seed_model}
        self._arena = arena
        self._ledger = ledger
        self._allowed = frozenset(plan.operators)
        self._first_rung = plan.search.budget(0)
        self._known = {operators.canonical(Source(*_texts(arena, seed_model)))}
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
        parent = self.family[birth.parent]
        found = self._new_program(Source(*_texts(self._arena, parent)), birth.number, parent.seed)
        if found is None:
            self._ledger.record_birth(birth.number, {"commit": None, "program": None})
            return None
        edit, source, program = found
        self._known.add(program)
        child = self._arena.commit(
            {"model.py": source.model, "experiment.yaml": source.experiment},
            number=birth.number,
            generation=birth.generation,
            parents=[parent],
            words=operators.words(edit),
            operator=edit.operator,
            variant=edit.variant,
            site=edit.site,
            seed=parent.seed,
        )
        self._ledger.record_birth(birth.number, {"commit": child.commit, "program": program})
        return child

    def _new_program(self, source: Source, number: int, seed: int) -> tuple[Edit, Source, str] | None:
        """Draw an operator, then one of its edits, until the child is a program not seen before."""
        rng = random.Random(f"edit/{seed}/{number}")
        menu: dict[str, list[Edit]] = {}
        for edit in operators.proposals(source):
            if edit.operator in self._allowed:
                menu.setdefault(edit.operator, []).append(edit)
        for _ in range(ATTEMPTS if menu else 0):
            edit = rng.choice(menu[rng.choice(sorted(menu))])
            child = operators.apply(source, edit)
            program = operators.canonical(child)
            if program not in self._known and self._affordable(child):
                return edit, child, program
        return None

    def _affordable(self, child: Source) -> bool:
        """Whether the first rung pays for a single step; otherwise the child would train on more tokens."""
        return experiment.parse(child.experiment).tokens_per_step <= self._first_rung


def _texts(arena: Arena, candidate: Candidate) -> tuple[str, str]:
    files = arena.files(candidate)
    return files["model.py"], files["experiment.yaml"]
