"""Parts found by name, names that nobody knows, and seeds made of names."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foundry.errors import UserError, unknown
from foundry.keyed import seed_for
from foundry.registry import load_part, module_names

PACKAGES = ["foundry/models", "foundry/training/optimizers", "foundry/training/schedules"]


@pytest.mark.parametrize("package", PACKAGES)
def test_every_part_listed_can_be_loaded(package: str) -> None:
    names = module_names(package)
    assert names == sorted(names)
    assert names
    for name in names:
        assert load_part(package, "part", name).__name__ == f"{package.replace('/', '.')}.{name}"


def test_helpers_with_an_underscore_are_no_parts() -> None:
    assert module_names("foundry/training/schedules") == ["constant", "cosine", "linear", "wsd"]
    with pytest.raises(UserError, match="unknown schedule '_warmup': "):
        load_part("foundry/training/schedules", "schedule", "_warmup")


@pytest.mark.parametrize("name", ["cosin", "Cosine", "os", "", "../optimizers/muon", "cosine.py"])
def test_a_name_that_is_no_part_is_never_imported(name: str) -> None:
    with pytest.raises(UserError, match=r"^unknown schedule "):
        load_part("foundry/training/schedules", "schedule", name)


def test_the_nearest_name_is_offered_or_all_are() -> None:
    known = {"adamw", "muon", "sgd"}
    assert str(unknown("optimizer", "adam", known)) == "unknown optimizer 'adam': did you mean 'adamw'?"
    assert str(unknown("optimizer", "x", known)) == "unknown optimizer 'x': known: adamw, muon, sgd"
    assert isinstance(unknown("optimizer", "x", known), ValueError)


@pytest.mark.parametrize(
    ("parts", "seed"),
    [
        (("batch", 0, 0), 2_978_913_582_873_710_549),
        (("init", 1337, "transformer.wte.weight"), 762_764_204_020_225_818),
        (("step", 42, 1999), 1_506_018_348_934_840_735),
        ((), 5_460_801_731_388_113_703),
    ],
)
def test_seeds_never_change(parts: tuple[int | str, ...], seed: int) -> None:
    assert seed_for(*parts) == seed


parts = st.lists(st.integers() | st.text(max_size=5), max_size=4)


@given(one=parts, other=parts)
@settings(deadline=None)
def test_other_parts_give_another_seed(one: list[int | str], other: list[int | str]) -> None:
    assert 0 <= seed_for(*one) < 2**63
    assert (seed_for(*one) == seed_for(*other)) == (one == other)


def test_numbers_and_their_names_are_not_the_same() -> None:
    ways: list[tuple[str | int, ...]] = [
        ("a", 1),
        ("a", "1"),
        ("a1",),
        (1, "a"),
        ("a", 1, ""),
        ("a, 1",),
        ("a", -1),
    ]
    assert len({seed_for(*way) for way in ways}) == len(ways)
