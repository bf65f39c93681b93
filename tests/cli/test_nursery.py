"""Births as the search orders them become commits: one edit, several, or as many as there are."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

import operators
from foundry.cli.crossing import source_of
from foundry.cli.nursery import Nursery
from foundry.cli.run import Run, begin, plan_run
from population.orders import Birth, Order

MICRO = Path(__file__).parents[2] / "experiments" / "micro.yaml"


@pytest.fixture(name="run")
def _run(tmp_path: Path) -> Iterator[Run]:
    plan = plan_run(experiment_path=str(MICRO), tokens=9000)
    with closing(begin(str(tmp_path / "arena"), plan)) as run:
        yield run


def order(number: int, edits: int, *names: str) -> Order:
    birth = Birth(number=number, generation=1, parent=0, operators=names, edits=edits)
    return Order(number=number, rung=0, seed=0, birth=birth)


def test_a_birth_of_several_edits_is_one_commit_that_lists_them(run: Run) -> None:
    nursery = Nursery(run.arena, run.ledger, run.seed, run.plan)
    names = ("swap_activation", "learning_rate", "insert_qknorm", "weight_decay")
    child = nursery.candidate(order(1, 3, *names))
    assert child is not None
    assert child.parents == (run.seed.commit,)
    assert tuple(step.operator for step in child.steps) == names[:3]
    assert nursery.born(1).operators == names[:3]
    assert run.arena.lineage(child)[-1] == child
    source = source_of(run.arena, run.seed)
    for step in child.steps:
        source = operators.apply(source, operators.Edit(step.operator, step.variant, step.site))
    assert source == source_of(run.arena, child)


def test_where_operators_offer_fewer_edits_a_birth_has_those(run: Run) -> None:
    nursery = Nursery(run.arena, run.ledger, run.seed, run.plan)
    child = nursery.candidate(order(1, 8, "muon_lr", "weight_decay", "warmup"))  # no Muon here
    assert child is not None
    assert [step.operator for step in child.steps] == ["weight_decay", "warmup"]


def test_a_program_is_born_once(run: Run) -> None:
    nursery = Nursery(run.arena, run.ledger, run.seed, run.plan)
    born = [nursery.candidate(order(number, 1, "insert_qknorm", "x0_skip")) for number in range(1, 9)]
    programs = [operators.canonical(source_of(run.arena, child)) for child in born if child]
    assert len(set(programs)) == len(programs) > 1
    assert born[-1] is None  # there are no more


def test_a_birth_is_remembered_by_its_ledger(run: Run) -> None:
    wanted = order(1, 2, "insert_qknorm", "x0_skip")
    first = Nursery(run.arena, run.ledger, run.seed, run.plan).candidate(wanted)
    again = Nursery(run.arena, run.ledger, run.seed, run.plan)
    assert again.candidate(wanted) == first is not None
    assert again.born(1).operators == ("insert_qknorm", "x0_skip")
