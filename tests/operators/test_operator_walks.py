"""Long rows of edits, each put through the gates; and the pages that are generated about them."""

import itertools
import re
import sys

import pytest
from operator_support import FOREIGN, ROOT, foreign_source

import operators

sys.path.insert(0, str(ROOT))  # benchmarks are run from the root of the repository, and not installed

from benchmarks import families, walks

SHARE = 0.8  # of proposals that must pass the gates; docs/operator_walks.md shows how many do
PAGE = ROOT / "docs" / "operator_walks.md"


def passed(numbers: range, length: int) -> float:
    """Take walks, in which nothing may raise, and return the share of proposals that pass the gates."""
    verdicts = [step.gate for number in numbers for step in walks.steps(number, length)]
    return verdicts.count("") / len(verdicts)


def test_a_walk_from_each_seed_model_passes_the_gates() -> None:
    assert passed(range(1, 3), 8) >= SHARE


@pytest.mark.slow
def test_long_walks_pass_the_gates() -> None:
    assert passed(range(1, 5), walks.LENGTH) >= SHARE


@pytest.mark.slow
@pytest.mark.parametrize("hundred", range(5))
def test_five_hundred_walks_pass_the_gates(hundred: int) -> None:
    assert passed(range(100 * hundred + 1, 100 * hundred + 101), walks.LENGTH) >= SHARE


def test_a_walk_is_the_same_each_time() -> None:
    first, second = (list(walks.steps(2, 3)) for _ in range(2))
    assert first == second


def test_a_walk_goes_on_from_what_passed() -> None:
    steps = list(walks.steps(5, 5))
    for step, after in itertools.pairwise(steps):
        assert after.parent == (step.parent if step.gate else step.child)


def test_a_child_that_no_gate_would_pass_has_a_verdict() -> None:
    source = walks.start(1)
    broken = operators.Source(source.model.replace("x = self.gelu(x)", "x = x.flip(1)"), source.experiment)
    assert walks.verdict(source) == ("", "")
    gate, reason = walks.verdict(broken)
    assert gate == "causality"
    assert reason


def test_the_page_counts_what_happened() -> None:
    edit = operators.Edit("depth", "plus-1", "model_args.n_layer")
    verdicts = ((edit, "", ""), (edit, "shapes", "wrong"), (edit, "", ""), (edit, "finite", "NaN"))
    page = walks.page([walks.Walk(1, verdicts, 2.0)], 4)
    assert "`python -m benchmarks.walks --walks 1 --length 4`" in page
    assert "1 walks of 4 edits" in page
    assert "of 4 proposals 2 pass all gates, 50.0%" in page
    assert "| depth | 4 | 50.0% | finite 1, shapes 1 |" in page


def test_the_committed_page_holds_to_the_promise() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert "No operator raised" in text
    rates = [float(rate) for rate in re.findall(r"^\| \w+ \| \d+ \| ([\d.]+)% \|", text, flags=re.MULTILINE)]
    total = re.search(r"pass all gates, ([\d.]+)%", text)
    assert len(rates) >= 45
    assert total is not None
    assert float(total.group(1)) >= 100 * SHARE


def test_the_table_of_sources_is_current() -> None:
    assert families.main(["--check"]) == 0


def test_every_family_is_in_the_table() -> None:
    assert list(families.sources()) == ["v1", "v2", *FOREIGN]
    assert len(FOREIGN) >= 7


@pytest.mark.parametrize("name", FOREIGN)
def test_foreign_sources_are_found_by_some_operator(name: str) -> None:
    found = {edit.operator for edit in operators.proposals(foreign_source(name))}
    assert len(found) >= 8


@pytest.mark.parametrize("name", ["conv1d", "einsum", "encoder", "functional"])
def test_families_that_keep_the_contract_pass_the_gates(name: str) -> None:
    source = operators.Source(foreign_source(name).model, walks.start(1).experiment)
    kept = [line for line in source.experiment.splitlines() if not re.match(r"  (bias|dropout):", line)]
    assert walks.verdict(operators.Source(source.model, "\n".join(kept))) == ("", "")
