"""Pairs of operators: together they pass the gates, and the second leaves what the first did."""

import random
import sys

import pytest
from operator_support import ROOT

import operators
from operators import Edit

sys.path.insert(0, str(ROOT))  # benchmarks are run from the root of the repository, and not installed

from benchmarks import pairs

NAMES = sorted(operators.load())


@pytest.mark.parametrize("first", NAMES)
def test_an_operator_and_one_after_it_pass_the_gates(first: str) -> None:
    """One pair of each, as the seeded draw has it; all of them are among the slow tests."""
    rng = random.Random(f"second of {first}")
    seed, second = rng.choice(list(pairs.SEEDS)), rng.choice([name for name in NAMES if name != first])
    pair = pairs.examined(seed, first, second)
    assert pair is None or not pair.gate, pair


@pytest.mark.slow
@pytest.mark.parametrize("seed", pairs.SEEDS)
@pytest.mark.parametrize("first", NAMES)
def test_all_pairs_pass_the_gates(seed: str, first: str) -> None:
    assert [pair for pair in pairs.row((seed, first)).pairs if pair.gate] == []


def test_an_edit_that_takes_another_back_is_seen() -> None:
    source = pairs.SEEDS["v1"]
    one = operators.lookup("swap_activation").sites(source)[0]
    middle = operators.apply(source, one)
    back = [
        Edit(edit.operator, edit.variant, edit.site)
        for edit in operators.lookup("swap_activation").sites(middle)
        if operators.canonical(operators.apply(middle, edit)) == operators.canonical(source)
    ]
    assert back
    assert pairs.undone(source, middle, operators.apply(middle, back[0]), one, back[0])
