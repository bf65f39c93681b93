"""Two parents' edits in one child: what both changed is there, what neither did is as it was."""

import random
from itertools import combinations

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from operator_support import FOREIGN, SEEDS, applied, foreign_source, seed_source

import operators
from operators import Edit, Source
from operators.crossover import ConflictError, crossed

SOURCES = {name: seed_source(name) for name in SEEDS} | {name: foreign_source(name) for name in FOREIGN}
EXPERIMENT = SOURCES["v1"].experiment


def pairs(source: Source, count: int, seed: int = 0) -> list[tuple[Edit, Edit]]:
    """Draw pairs of edits by different operators, of which the second also applies after the first."""
    edits = operators.proposals(source)
    drawn = [pair for pair in combinations(edits, 2) if pair[0].operator != pair[1].operator]
    random.Random(seed).shuffle(drawn)
    found: list[tuple[Edit, Edit]] = []
    for one, other in drawn:
        if other in operators.lookup(other.operator).sites(applied(source, one)):
            found.append((one, other))
        if len(found) == count:
            break
    return found


def check_share(source: Source, count: int) -> None:
    """Check that nine crossings of ten give what one edit after the other gives, and the rest are sound."""
    same = 0
    chosen = pairs(source, count)
    for one, other in chosen:
        ours, theirs = applied(source, one), applied(source, other)
        try:
            child = crossed(source, ours, theirs)
        except ConflictError:
            continue
        compile(child.model, "model.py", "exec")
        assert operators.canonical(child) != operators.canonical(source), (one, other)
        same += operators.canonical(child) == operators.canonical(operators.apply(ours, other))
    assert same >= 0.85 * len(chosen)


@pytest.mark.parametrize("name", SEEDS)
def test_crossing_two_edits_is_one_after_the_other(name: str) -> None:
    check_share(SOURCES[name], 10)


@pytest.mark.slow
@pytest.mark.parametrize("name", SOURCES)
def test_crossing_many_edits_is_one_after_the_other(name: str) -> None:
    check_share(SOURCES[name], 80)


def edited(name: str) -> st.SearchStrategy[tuple[Source, Source]]:
    source = SOURCES[name]
    return st.sampled_from(operators.proposals(source)).map(lambda edit: (source, applied(source, edit)))


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(st.sampled_from(list(SOURCES)).flatmap(edited))
def test_a_parent_that_changed_nothing_adds_nothing(pair: tuple[Source, Source]) -> None:
    base, changed = pair
    assert crossed(base, changed, base) == changed
    assert crossed(base, base, changed) == changed
    assert crossed(base, changed, changed) == changed


@pytest.mark.parametrize("name", SEEDS)
def test_the_order_of_parents_decides_nothing_but_order(name: str) -> None:
    base = SOURCES[name]
    for one, other in pairs(base, 3, seed=1):
        ours, theirs = applied(base, one), applied(base, other)
        try:
            child, mirrored = crossed(base, ours, theirs), crossed(base, theirs, ours)
        except ConflictError:
            continue
        assert sorted(child.model.split()) == sorted(mirrored.model.split()), (one, other)


def merged(base: str, ours: str, theirs: str) -> str:
    return crossed(Source(base, ""), Source(ours, ""), Source(theirs, "")).model


def test_comments_and_layout_survive_on_both_sides() -> None:
    base = "a = 1  # one\n\n# two\nb = f(2,   3)\nc = [4,\n     5]\n"
    assert merged(base, base.replace("= 1", "= 7"), base.replace("2,", "8,")) == (
        "a = 7  # one\n\n# two\nb = f(8,   3)\nc = [4,\n     5]\n"
    )


def test_arguments_of_one_call_are_merged() -> None:
    base = "y = Linear(a, b)\n"
    assert merged(base, "y = Linear(2 * a, b)\n", "y = Linear(a, b, bias=False)\n") == (
        "y = Linear(2 * a, b, bias=False)\n"
    )


def test_what_one_side_puts_around_goes_around_what_the_other_made() -> None:
    assert merged("y = f(x)\n", "y = g(f(x))\n", "y = f(x, 2)\n") == "y = g(f(x, 2))\n"
    assert merged("y = f(x)\n", "y = f(x) * s\n", "y = f(x + 1)\n") == "y = f(x + 1) * s\n"


def test_new_definitions_at_one_place_are_both_kept_and_equal_ones_once() -> None:
    base = "import torch\n\nx = 1\n"
    ours = "import torch\nimport math\n\nx = math.pi\n"
    theirs = "import torch\nimport math\n\nx = 1\ny = math.e\n"
    assert merged(base, ours, theirs) == "import torch\nimport math\n\nx = math.pi\ny = math.e\n"


BODY = "def f(x):\n    x = a(x)\n    x = b(x)\n    return x\n"


@pytest.mark.parametrize(
    ("ours", "theirs", "message"),
    [
        (BODY.replace("a(x)", "c(x)"), BODY.replace("a(x)", "d(x)"), "both change `a`"),
        (BODY.replace("    x = a(x)\n", ""), BODY.replace("a(x)", "a(x, 1)"), "one deletes"),
        (
            BODY.replace("    x = b", "    x = c(x)\n    x = b"),
            BODY.replace("    x = b", "    x = d(x)\n    x = b"),
            "both insert something at one place in f",
        ),
        ("def f(x:\n", BODY.replace("a(x)", "c(x)"), "not valid Python"),
    ],
)
def test_contradictions_are_refused_with_a_sentence(ours: str, theirs: str, message: str) -> None:
    with pytest.raises(ConflictError, match=message):
        merged(BODY, ours, theirs)


def test_a_name_that_one_side_removes_and_the_other_uses_is_a_conflict() -> None:
    base = "class A:\n    def __init__(self):\n        self.a = 1\n        self.b = self.a\n"
    ours = base.replace("        self.a = 1\n", "").replace("= self.a", "= 1")
    theirs = base + "\n    def f(self):\n        return self.a\n"
    with pytest.raises(ConflictError, match=r"one removes A\.a, which the other has come to need"):
        merged(base, ours, theirs)


def crossed_experiment(ours: str, theirs: str) -> str:
    return crossed(Source("", EXPERIMENT), Source("", ours), Source("", theirs)).experiment


def test_settings_are_merged_by_key_in_the_layout_of_ours() -> None:
    ours = EXPERIMENT.replace("batch_size: 12", "batch_size: 24  # wider")
    theirs = EXPERIMENT.replace("adamw  # or muon\n", "muon  # or muon\n  muon_lr: 0.02\n")
    child = crossed_experiment(ours, theirs)
    assert child == ours.replace("adamw  # or muon\n", "muon  # or muon\n  muon_lr: 0.02\n")
    assert crossed_experiment(theirs, ours).count("#") == EXPERIMENT.count("#")


def test_one_setting_with_two_values_is_a_conflict_but_the_name_is_not() -> None:
    ours = EXPERIMENT.replace("learning_rate: 1.0e-3", "learning_rate: 2.0e-3").replace("miniature", "a")
    theirs = EXPERIMENT.replace("miniature", "b")
    assert crossed_experiment(ours, theirs) == ours
    with pytest.raises(ConflictError, match=r"both change training\.learning_rate"):
        crossed_experiment(ours, theirs.replace("1.0e-3", "3.0e-3"))


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    st.lists(st.integers(0, 2), min_size=4, max_size=4), st.lists(st.integers(0, 2), min_size=4, max_size=4)
)
def test_experiments_merge_as_mappings_do(ours: list[int], theirs: list[int]) -> None:
    """Values that differ from 0 are changes; 2 deletes the key."""
    keys = ("a", "b", "c", "d")

    def text(values: list[int]) -> str:
        return "t:\n  kept: 1\n" + "".join(
            f"  {key}: {value}\n" for key, value in zip(keys, values, strict=True) if value != 2
        )

    base = text([0, 0, 0, 0])
    clash = any(a and b and a != b for a, b in zip(ours, theirs, strict=True))
    sides = [Source("", text(values)) for values in (ours, theirs)]
    if clash:
        with pytest.raises(ConflictError):
            crossed(Source("", base), *sides)
        return
    wanted = text([a or b for a, b in zip(ours, theirs, strict=True)])
    assert yaml.safe_load(crossed(Source("", base), *sides).experiment) == yaml.safe_load(wanted)


def test_parameters_with_types_are_merged() -> None:
    base = "def f(x: int) -> int:\n    return x\n"
    ours, theirs = base.replace("x: int", "x: float"), base.replace("-> int", "-> float")
    assert merged(base, ours, theirs) == "def f(x: float) -> float:\n    return x\n"
