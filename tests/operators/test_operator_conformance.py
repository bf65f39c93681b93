"""What every operator promises, checked for each one that `load()` finds."""

import re

import libcst as cst
import pytest
from operator_support import (
    FOREIGN,
    SEEDS,
    applied,
    assert_runs,
    assert_untouched_text_survives,
    foreign_source,
    run,
    seed_source,
)

import operators
from operators import Edit, Operator, Source
from operators.operator import Example, offers
from operators.syntax.experiment import read_experiment
from operators.syntax.program import read_program

OPERATORS = operators.load()
EXAMPLES = [(name, example) for name, operator in OPERATORS.items() for example in operator.examples]
SOURCES = {name: seed_source(name) for name in SEEDS} | {name: foreign_source(name) for name in FOREIGN}


# Tests of one operator and source follow each other: what one of them has rewritten, the next looks at.
@pytest.fixture(params=OPERATORS, name="operator", scope="module")
def _operator(request: pytest.FixtureRequest) -> Operator:
    return OPERATORS[request.param]


@pytest.fixture(params=SOURCES, name="source", scope="module")
def _source(request: pytest.FixtureRequest) -> Source:
    return SOURCES[request.param]


@pytest.fixture(params=SEEDS, name="seed_model", scope="module")
def _seed_model(request: pytest.FixtureRequest) -> Source:
    return SOURCES[request.param]


def example_source(operator: Operator, text: str) -> Source:
    return Source("", text) if operator.family == "experiment" else Source(text, "")


def _sites_and_last_results(source: Source) -> dict[str, tuple[list[Edit], list[Source]]]:
    """Read a source afresh, and return what each operator offers there and what its last edit gives."""
    for cache in (read_program, read_experiment, offers):
        cache.cache_clear()
    found = {}
    for name, operator in OPERATORS.items():
        edits = operator.sites(source)
        copies = [Edit(edit.operator, edit.variant, edit.site) for edit in edits[-1:]]
        found[name] = (edits, [operator.apply(source, edit) for edit in copies])
    return found


def test_it_is_described(operator: Operator) -> None:
    assert type(operator).__module__ == f"operators.{operator.name}"
    assert operator.family in ("knowledge", "generic", "experiment")
    assert operator.summary.endswith(".")
    assert "\n" not in operator.summary
    assert operator.preserves <= {"shapes", "parameter_count", "function_at_init"}


def test_it_has_an_example_of_each_kind(operator: Operator) -> None:
    assert any(example.after is not None for example in operator.examples)
    assert any(example.after is None for example in operator.examples)


@pytest.mark.parametrize(
    ("name", "example"), EXAMPLES, ids=[f"{name}-{i}" for i, (name, _) in enumerate(EXAMPLES)]
)
def test_examples_are_true(name: str, example: Example) -> None:
    operator = OPERATORS[name]
    source = example_source(operator, example.before)
    edits = operator.sites(source)
    if example.after is None:
        assert edits == []
        return
    edit = next(edit for edit in edits if edit.variant == example.variant)
    assert operator.apply(source, edit) == example_source(operator, example.after)


def test_edits_are_plain_short_and_distinct(operator: Operator, source: Source) -> None:
    edits = operator.sites(source)
    assert len(set(edits)) == len(edits)
    for edit in edits:
        assert edit.operator == operator.name
        assert re.fullmatch(r"[a-z0-9][a-z0-9_.-]*", edit.variant)
        assert re.fullmatch(r"[!-~]{1,80}", edit.site)
        assert 0 < len(operator.words(edit)) < 60
        assert "\n" not in operator.words(edit)


@pytest.mark.parametrize("name", SOURCES)
def test_sites_are_stable_and_edits_replay_to_the_same_bytes(name: str) -> None:
    source = SOURCES[name]
    first, second = (_sites_and_last_results(source) for _ in range(2))
    assert first == second


def test_every_edit_changes_the_program(operator: Operator, source: Source) -> None:
    seen = {operators.canonical(source)}
    for edit in operator.sites(source):
        after = operators.canonical(applied(source, edit))
        assert after not in seen, edit
        seen.add(after)


def test_results_compile(operator: Operator, source: Source) -> None:
    for edit in operator.sites(source):
        assert compile(applied(source, edit).model, "model.py", "exec"), edit


@pytest.mark.slow  # walks ask it of every child, too
def test_results_round_trip(operator: Operator, source: Source) -> None:
    for edit in operator.sites(source)[:1]:
        text = applied(source, edit).model
        assert cst.parse_module(text).code == text, edit


def test_untouched_text_survives(operator: Operator, source: Source) -> None:
    for edit in operator.sites(source):
        result = applied(source, edit)
        assert_untouched_text_survives(source.model, result.model, edit)
        if operator.family != "experiment":
            assert result.experiment == source.experiment


def test_results_run(operator: Operator, source: Source) -> None:
    for edit in operator.sites(source):
        assert_runs(applied(source, edit), edit)


def test_invariants_hold(operator: Operator, seed_model: Source) -> None:
    before = run(seed_model)
    for edit in operator.sites(seed_model):
        after = run(applied(seed_model, edit))
        if "shapes" in operator.keeps(edit):
            assert after.logits.shape == before.logits.shape, edit
        if "parameter_count" in operator.keeps(edit):
            assert after.parameters == before.parameters, edit
        if "function_at_init" in operator.keeps(edit):
            assert (after.logits - before.logits).abs().max() < 1e-5, edit


def test_an_edit_that_is_not_offered_is_refused(operator: Operator, source: Source) -> None:
    for edit in (Edit(operator.name, "none-such", "nowhere"), Edit(operator.name, "x2", "GPT:nothing#7")):
        with pytest.raises(ValueError, match="does not apply"):
            operator.apply(source, edit)


@pytest.mark.parametrize(
    "text", ["", "\n", "x = 1", "class A: pass", "def f(:", "\0", "import torch\nfrom . import *\n"]
)
def test_sources_without_a_model_are_left_alone(operator: Operator, text: str) -> None:
    assert operator.sites(Source(text, text)) == []
