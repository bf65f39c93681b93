"""A candidate without some of its edits, made by replaying the others, real source and real git."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import operators
from foundry.cli.crossing import cross, source_of
from foundry.cli.editing import applied, step_of
from foundry.cli.mutations import find_edit
from foundry.cli.reduction import CROSSOVER, edits_of, reduced, replayed
from foundry.seed import read_model
from foundry.training import experiment
from genome import Arena, Candidate, Step
from operators import Source, numbers

EXPERIMENT = (Path(__file__).parents[2] / "experiments" / "micro.yaml").read_text()
SEED = Source(read_model("v1"), EXPERIMENT)


class Line:
    """A lineage in an arena, bred edit by edit."""

    def __init__(self, arena: Arena) -> None:
        self.arena = arena
        files = {"model.py": SEED.model, "experiment.yaml": SEED.experiment}
        self.family: dict[int, Candidate] = {0: arena.plant(files, seed=0)}

    def breed(self, parent: int, *edits: tuple[str, str]) -> int:
        """Commit a child that differs by edits, each an operator and a variant."""
        source, steps = source_of(self.arena, self.family[parent]), []
        for operator, variant in edits:
            edit = find_edit(source, operator, variant)
            source = applied(source, edit)
            steps.append(step_of(edit))
        return self.commit(source, steps, parent)

    def commit(self, source: Source, steps: list[Step], *parents: int) -> int:
        number = len(self.family)
        self.family[number] = self.arena.commit(
            {"model.py": source.model, "experiment.yaml": source.experiment},
            number=number,
            generation=1,
            parents=[self.family[parent] for parent in parents],
            steps=steps,
            seed=0,
        )
        return number

    def without(self, number: int, *places: int) -> Source | None:
        return reduced(self.arena, self.family, self.family[number], places)


@pytest.fixture(name="line")
def _line(tmp_path: Path) -> Line:
    return Line(Arena.create(tmp_path / "arena"))


def test_without_nothing_it_is_itself_and_without_all_the_seed_model(line: Line) -> None:
    tip = line.breed(line.breed(0, ("position", "rope")), ("optimizer", "muon"))
    assert line.without(tip) == source_of(line.arena, line.family[tip])
    assert line.without(tip, 1, 2) == SEED


def test_an_edit_is_taken_out_and_the_others_stay(line: Line) -> None:
    middle = line.breed(line.breed(0, ("position", "rope")), ("swap_activation", "relu2"))
    tip = line.breed(middle, ("learning_rate", "x2"))
    expected = line.breed(line.breed(0, ("position", "rope")), ("learning_rate", "x2"))
    assert line.without(tip, 2) == source_of(line.arena, line.family[expected])


def test_what_builds_on_an_edit_keeps_it(line: Line) -> None:
    rope = line.breed(0, ("position", "rope"))
    theta = next(e for e in operators.lookup("position").sites(source_of(line.arena, line.family[rope])))
    tip = line.breed(rope, ("position", theta.variant))
    assert line.without(tip, 1) is None or theta in operators.lookup("position").sites(SEED)


def test_a_cross_is_replayed_as_a_cross(line: Line) -> None:
    mother = line.breed(line.breed(0, ("position", "rope")), ("swap_activation", "relu2"))
    father = line.breed(0, ("optimizer", "muon"))
    source = cross(line.arena, line.family, line.family[mother], line.family[father])
    assert source is not None
    step = Step(operator=CROSSOVER, variant="g001-0003", site="", words="cross")
    tip = line.commit(source, [step], mother, father)
    without_rope = line.without(tip, 1)
    assert without_rope is not None
    assert "muon" in without_rope.experiment
    assert "RotaryEmbedding" not in without_rope.model
    assert line.without(tip, 3) == source_of(line.arena, line.family[mother])


def test_numbers_are_replayed(line: Line) -> None:
    edit = numbers.edit([("learning_rate", 0.004), ("beta2", 0.95)])
    tip = line.breed(line.commit(applied(SEED, edit), [step_of(edit)], 0), ("position", "rope"))
    without = line.without(tip, 2)
    assert without == numbers.applied(SEED, edit)
    assert experiment.parse(without.experiment).training.beta2 == 0.95


def test_the_steps_that_are_left_lead_from_the_seed_model_to_the_reduced(line: Line) -> None:
    middle = line.breed(line.breed(0, ("position", "rope")), ("swap_activation", "relu2"))
    tip = line.family[line.breed(middle, ("learning_rate", "x2"))]
    found = replayed(line.arena, line.family, tip, [2])
    assert found is not None
    assert [step.operator for step, _ in found] == ["seed", "position", "learning_rate"]
    assert found[0][1] == SEED
    assert found[-1][1] == line.without(3, 2)


VALUES = st.dictionaries(
    st.sampled_from(sorted(numbers.present(Source("", EXPERIMENT)))),
    st.floats(0, 1, allow_nan=False),
    min_size=1,
    max_size=3,
)


@given(VALUES)
@settings(deadline=None)
def test_proposed_numbers_are_written_and_read_back(shares: dict[str, float]) -> None:
    ranges = numbers.RANGES
    values = {n: ranges[n].low + share * (ranges[n].high - ranges[n].low) for n, share in shares.items()}
    child = numbers.applied(SEED, numbers.edit(sorted(values.items())))
    experiment.parse(child.experiment)
    for name, value in values.items():
        tolerance = 0.5 if ranges[name].whole else max(1e-9, 0.006 * abs(value))
        assert numbers.present(child)[name] == pytest.approx(value, abs=tolerance)
    assert child.model == SEED.model


def test_numbers_that_nothing_uses_are_not_proposed() -> None:
    assert "muon_lr" not in numbers.present(SEED)
    muon = operators.apply(SEED, find_edit(SEED, "optimizer", "muon"))
    assert "muon_lr" in numbers.present(muon)


def test_an_edit_of_a_birth_of_several_is_taken_out_alone(line: Line) -> None:
    several = line.breed(0, ("position", "rope"), ("swap_activation", "relu2"), ("optimizer", "muon"))
    tip = line.breed(several, ("learning_rate", "x2"))
    said = [step.operator for step in edits_of(line.arena, line.family[tip])]
    assert said == ["position", "swap_activation", "optimizer", "learning_rate"]
    expected = line.breed(line.breed(0, ("position", "rope")), ("optimizer", "muon"), ("learning_rate", "x2"))
    assert line.without(tip, 2) == source_of(line.arena, line.family[expected])
