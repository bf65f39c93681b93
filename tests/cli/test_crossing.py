"""A child of two parents has what both changed, and is a merge commit; who cannot be crossed is not."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

import operators
from foundry.cli.crossing import cross, source_of
from foundry.cli.mutations import find_edit
from foundry.seed import read_model
from genome import Arena, Candidate, Step
from operators import Source

EXPERIMENT = (Path(__file__).parents[2] / "experiments" / "micro.yaml").read_text()


class Family:
    """A small arena in which children are bred by named edits."""

    def __init__(self, arena: Arena) -> None:
        self.arena = arena
        files = {"model.py": read_model("v1"), "experiment.yaml": EXPERIMENT}
        self.members: dict[int, Candidate] = {0: arena.plant(files, seed=0)}

    def breed(self, parent: Candidate, operator: str, variant: str) -> Candidate:
        source = source_of(self.arena, parent)
        edit = find_edit(source, operator, variant)
        return self.commit(operators.apply(source, edit), [parent], operator, variant)

    def commit(self, source: Source, parents: list[Candidate], operator: str, variant: str) -> Candidate:
        number = len(self.members)
        self.members[number] = self.arena.commit(
            {"model.py": source.model, "experiment.yaml": source.experiment},
            number=number,
            generation=1,
            parents=parents,
            steps=[Step(operator=operator, variant=variant, site="", words=f"{operator} {variant}")],
            seed=0,
        )
        return self.members[number]


@pytest.fixture(name="family")
def _family(tmp_path: Path) -> Family:
    return Family(Arena.create(tmp_path / "arena"))


def test_a_child_has_what_both_parents_changed(family: Family) -> None:
    seed = family.members[0]
    mother = family.breed(seed, "swap_activation", "relu2")
    father = family.breed(seed, "position", "rope")
    child = cross(family.arena, family.members, mother, father)
    assert child is not None
    expected = source_of(family.arena, family.breed(mother, "position", "rope"))
    assert operators.canonical(child) == operators.canonical(expected)


def test_the_child_is_a_merge_commit(family: Family) -> None:
    seed = family.members[0]
    parents = [family.breed(seed, "swap_activation", "relu2"), family.breed(seed, "optimizer", "muon")]
    source = cross(family.arena, family.members, *parents)
    assert source is not None
    child = family.commit(source, parents, "crossover", "g001-0002")
    shown = subprocess.run(
        ["git", "rev-list", "--parents", "-n", "1", child.branch],
        cwd=family.arena.path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert shown.stdout.split() == [child.commit, *(parent.commit for parent in parents)]


def test_changes_are_counted_from_the_youngest_common_ancestor(family: Family) -> None:
    """An edit that both have from there is no conflict, even where the two parents differ around it."""
    shared = family.breed(family.members[0], "position", "rope")
    mother = family.breed(shared, "swap_activation", "relu2")
    father = family.breed(shared, "insert_qknorm", "rms")
    child = cross(family.arena, family.members, mother, father)
    assert child is not None
    assert "RotaryEmbedding" in child.model
    assert "rms_norm" in child.model
    assert "square" in child.model


def test_a_parent_and_its_descendant_are_not_crossed(family: Family) -> None:
    parent = family.breed(family.members[0], "position", "rope")
    child = family.breed(parent, "swap_activation", "relu2")
    assert cross(family.arena, family.members, parent, child) is None
    assert cross(family.arena, family.members, child, parent) is None


def test_parents_that_contradict_each_other_have_no_child(family: Family) -> None:
    seed = family.members[0]
    mother, father = (family.breed(seed, "learning_rate", variant) for variant in ("x2", "x0.5"))
    assert cross(family.arena, family.members, mother, father) is None
