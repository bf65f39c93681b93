"""Names that git accepts, messages that git's own parser reads."""

import re
import subprocess

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from genome.candidate import candidate_name
from genome.message import read_candidate, write_message

LINES = st.text(max_size=40).map(str.strip).filter(str.isprintable)
WORDS = LINES.filter(lambda line: line and not line.startswith("---"))
AWKWARD = [
    "MLP: GELU → ReLU²",
    "-n is not an option",
    "--",
    "#1 is not a comment",
    "Signed-off-by: nobody",
    "Seed: 4",
    "diff --git a/x b/x",
    "From nobody",
]


def test_a_name_says_generation_number_and_edit():
    name = candidate_name(number=42, generation=3, operator="swap_activation", variant="relu2")
    assert name == "g003-0042-swap-activation-relu2"


@pytest.mark.parametrize(
    ("operator", "variant", "slug"),
    [
        ("seed", "", "seed"),
        ("learning_rate", "×0.5", "learning-rate-0.5"),
        ("ffn_ratio", "8/3", "ffn-ratio-8-3"),
        ("position", "..Rope.lock", "position-rope-lock"),
        ("swap", "a" * 100, "swap-" + "a" * 55),
        ("swap", "b" * 54 + "0.5", "swap-" + "b" * 54 + "0"),
    ],
)
def test_a_name_keeps_only_what_a_branch_may_carry(operator, variant, slug):
    assert candidate_name(number=1, generation=0, operator=operator, variant=variant) == f"g000-0001-{slug}"


@settings(max_examples=60, deadline=None)
@given(number=st.integers(0, 10**7), generation=st.integers(0, 10**4), operator=st.text(), variant=st.text())
def test_every_name_is_a_valid_branch(number, generation, operator, variant):
    name = candidate_name(number=number, generation=generation, operator=operator, variant=variant)
    assert re.fullmatch(r"[a-z0-9][a-z0-9/_.-]*", name)
    assert ".." not in name
    assert not name.endswith(".lock")
    assert len(name) < 90
    subprocess.run(["git", "check-ref-format", f"refs/heads/candidate/{name}"], check=True)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(words=WORDS | st.sampled_from(AWKWARD), operator=LINES, variant=LINES, site=LINES, seed=st.integers())
def test_a_message_is_read_back_by_us_and_by_git(git, tmp_path, words, operator, variant, site, seed):
    operator = operator or "seed"
    given_fields = {"words": words, "operator": operator, "variant": variant, "site": site, "seed": seed}
    message = write_message(number=7, generation=2, **given_fields)
    candidate = read_candidate(commit="c" * 40, tree="t" * 40, parents=("p" * 40,), message=message)
    assert candidate is not None
    assert {name: getattr(candidate, name) for name in given_fields} == given_fields
    assert (candidate.number, candidate.generation, candidate.parents) == (7, 2, ("p" * 40,))
    parsed = git(tmp_path, "interpret-trailers", "--parse", stdin=message)
    expected = ["Foundry-Number: 7", f"Operator: {operator}", f"Variant: {variant}", f"Site: {site}"]
    expected += ["Generation: 2", f"Seed: {seed}"]
    assert parsed.split("\n")[:-1] == [line for line in expected if not line.endswith(": ")]


@pytest.mark.parametrize(
    "words", ["", "two\nlines", "ends with a space ", "--- cut here", "bell\a", "line\u2028end"]
)
def test_words_that_are_not_one_clean_line_are_our_own_mistake(words):
    with pytest.raises(AssertionError):
        write_message(number=1, generation=1, words=words, operator="o", variant="v", site="s", seed=1)


@pytest.mark.parametrize(
    "message",
    [
        "",
        "Fix the thing\n",
        "Fix\n\nSeed: 1\nGeneration: 1\nOperator: x\n",
        "Fix\n\nFoundry-Number: one\nSeed: 1\nGeneration: 1\nOperator: x\n",
    ],
)
def test_a_message_of_someone_else_is_no_candidate(message):
    assert read_candidate(commit="c" * 40, tree="t" * 40, parents=(), message=message) is None
