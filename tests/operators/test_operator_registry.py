"""Finding operators, naming unknown ones, telling programs apart, and never failing on odd text."""

import subprocess
import sys

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from operator_support import FOREIGN, SEEDS, foreign_source, seed_source

import operators
from operators import Edit, Source
from operators.reference import main

TEXTS = [seed_source(name).model for name in SEEDS] + [foreign_source(name).model for name in FOREIGN]
EXPERIMENTS = [
    "",
    "name: [",
    "a: &a {b: *a}",
    "- 1\n- 2\n",
    "training: 3\n",
    "training: {learning_rate: fast}\n",
    "? [1]\n: 2\n",
]


def test_operators_come_sorted_by_name() -> None:
    names = list(operators.load())
    assert names == sorted(names)
    assert {"swap_activation", "learning_rate", "perturb_literal"} <= set(names)


def test_an_unknown_operator_names_the_nearest() -> None:
    with pytest.raises(ValueError, match="unknown operator 'swap_activaton'; did you mean 'swap_activation'"):
        operators.words(Edit("swap_activaton", "relu", "MLP"))


def test_proposals_are_those_of_all_operators() -> None:
    source = seed_source("v1")
    each = [edit for operator in operators.load().values() for edit in operator.sites(source)]
    assert operators.proposals(source) == each


def test_operators_load_without_torch_or_git() -> None:
    code = "import sys, operators; operators.load(); print({'torch', 'git', 'genome'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_layout_comments_docstrings_and_names_do_not_count() -> None:
    one = Source(
        '"""Doc."""\ndef f(x):\n    """Doc."""\n    return x+1  # one\n',
        "name: a\ntraining: {batch_size: 4}\n",
    )
    two = Source("def f(x):\n\n    return (x + 1)\n", "# b\ntraining:\n  batch_size: 4\nname: b\n")
    assert operators.canonical(one) == operators.canonical(two)


@pytest.mark.parametrize(
    "other",
    [
        Source("x = 2\n", "seed: 1\n"),
        Source("x = 1\n", "seed: 2\n"),
        Source("x = 1\n", ""),
        Source("x = (\n", "seed: 1\n"),
    ],
)
def test_other_programs_count(other: Source) -> None:
    assert operators.canonical(other) != operators.canonical(Source("x = 1\n", "seed: 1\n"))


def test_the_reference_page_is_current() -> None:
    assert main(["--check"]) == 0


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(st.sampled_from(TEXTS), st.sampled_from(EXPERIMENTS), st.data())
def test_no_source_makes_them_fail(text: str, experiment: str, data: st.DataObject) -> None:
    """Cut lines out of real sources, and replace words, so that classes, imports and arguments go missing."""
    lines = text.splitlines(keepends=True)
    start = data.draw(st.integers(0, len(lines)))
    length = data.draw(st.integers(0, 12))
    word = data.draw(
        st.sampled_from(["self", "config", "nn", "F", "x", "q", "init", "forward", "4", "(", "torch"])
    )
    instead = data.draw(st.sampled_from(["é", "other", "*args", "None", "0", "a.b", ""]))
    broken = "".join(lines[:start] + lines[start + length :])
    at = broken.find(word, data.draw(st.integers(0, len(broken))))
    if at >= 0:
        broken = broken[:at] + instead + broken[at + len(word) :]
    source = Source(broken, experiment)
    for edit in operators.proposals(source)[:4]:
        applied = operators.apply(source, edit)
        if applied.model != broken:  # an edit of the experiment leaves the source as broken as it was
            assert compile(applied.model, "model.py", "exec"), edit
    operators.canonical(source)
