"""Edits add up: in pairs, in either order, and in long walks."""

import random
from collections.abc import Iterator

import pytest
from operator_support import (
    FOREIGN,
    SEEDS,
    applied,
    assert_runs,
    assert_untouched_text_survives,
    foreign_source,
    seed_source,
)

import operators
from operators import Edit, Operator, Source

OPERATORS = operators.load()
SHARE = 12  # one pair in so many is checked on every change


def pairs(source: Source, first: Operator, second: Operator, each: int | None) -> Iterator[tuple[Edit, Edit]]:
    """Yield edits of two operators that can follow one another, up to so many of each."""
    for one in first.sites(source)[:each]:
        for other in second.sites(applied(source, one))[:each]:
            yield one, other


def check_pair(source: Source, one: Edit, other: Edit) -> None:
    """Check that the second edit runs, keeps what the first one did, and leaves the rest alone."""
    first, second = OPERATORS[one.operator], OPERATORS[other.operator]
    middle = applied(source, one)
    result = operators.apply(middle, other)
    assert_runs(result, (one, other))
    assert_untouched_text_survives(middle.model, result.model, (one, other))
    if one not in first.sites(middle):  # its traces show that it has been done
        assert one not in first.sites(result), f"{other} undoes {one}"
    if other in second.sites(source) and one in first.sites(applied(source, other)):
        alone = applied(source, other)  # which leaves the place of the first edit as it was
        assert operators.canonical(result) != operators.canonical(alone), f"{other} undoes {one}"


@pytest.mark.parametrize("first", OPERATORS)
def test_pairs_of_operators(first: str) -> None:
    """One pair in so many, on one of the seed models; all of them are among the slow tests."""
    names = list(OPERATORS)
    for second in names[names.index(first) % SHARE :: SHARE]:
        if second != first:
            source = seed_source("v1" if first < second else "v2")
            for one, other in pairs(source, OPERATORS[first], OPERATORS[second], 1):
                check_pair(source, one, other)


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("first", OPERATORS)
def test_all_pairs_of_operators(seed: str, first: str) -> None:
    """Both orders, both seed models, two edits of each operator."""
    source = seed_source(seed)
    for second in OPERATORS:
        if second != first:
            for one, other in pairs(source, OPERATORS[first], OPERATORS[second], 2):
                check_pair(source, one, other)


STRUCTURE = (
    "insert_qknorm",
    "zero_init",
    "swap_norm",
    "swap_activation",
    "ffn_ratio",
    "position",
    "norm_placement",
    "tie_embeddings",
    "attention",
    "moe",
    "optimizer",
)


def check_not_offered_again(seed: str, start: int, step: int) -> None:
    source = seed_source(seed)
    for name in STRUCTURE:
        for edit in OPERATORS[name].sites(source)[start::step]:
            assert edit not in OPERATORS[name].sites(applied(source, edit))


@pytest.mark.parametrize("seed", SEEDS)
def test_an_edit_of_structure_is_not_offered_again(seed: str) -> None:
    """Every third edit, others of each seed model."""
    check_not_offered_again(seed, SEEDS.index(seed), 3)


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
def test_no_edit_of_structure_is_offered_again(seed: str) -> None:
    check_not_offered_again(seed, 0, 1)


def walk(source: Source, steps: int, seed: int) -> Iterator[tuple[Edit, Source]]:
    """Apply edits that a seeded generator picks, an operator first and then one of its sites."""
    chance = random.Random(seed)
    for _ in range(steps):
        offered: dict[str, list[Edit]] = {}
        for edit in operators.proposals(source):
            offered.setdefault(edit.operator, []).append(edit)
        edit = chance.choice(offered[chance.choice(list(offered))])
        after = operators.apply(source, edit)
        compile(after.model, "model.py", "exec")
        assert_untouched_text_survives(source.model, after.model, edit)
        source = after
        yield edit, source


def passes(source: Source) -> bool:
    try:
        assert_runs(source, None)
    except Exception:
        return False
    return True


def check_walks(source: Source, seeds: range, steps: int) -> None:
    results = [passes(after) for seed in seeds for _, after in walk(source, steps, seed)]
    assert sum(results) >= 0.8 * len(results)


@pytest.mark.parametrize("seed", SEEDS)
def test_walks(seed: str) -> None:
    """A short one each: those of test_operator_walks go through the gates."""
    check_walks(seed_source(seed), range(1), 6)


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
def test_many_walks(seed: str) -> None:
    check_walks(seed_source(seed), range(1, 21), 15)


@pytest.mark.slow
@pytest.mark.parametrize("name", FOREIGN)
def test_walks_from_foreign_sources(name: str) -> None:
    check_walks(foreign_source(name), range(3), 10)
