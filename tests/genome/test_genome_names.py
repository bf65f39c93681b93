"""Names that git accepts, messages that git's own parser reads."""

import re
import subprocess

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from genome.candidate import Step, candidate_name
from genome.message import read_candidate, write_message

LINES = st.text(st.characters(exclude_categories=("C", "Z"), include_characters=" "), max_size=40).map(
    str.strip
)
WORDS = LINES.map(lambda line: line.lstrip("-").strip() or "x")
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


def edit(operator: str, variant: str = "v", site: str = "s", words: str = "words") -> Step:
    return Step(operator=operator, variant=variant, site=site, words=words)


def test_a_name_says_generation_number_and_edit():
    name = candidate_name(number=42, generation=3, steps=[edit("swap_activation", "relu2")])
    assert name == "g003-0042-swap-activation-relu2"
    several = [edit("position", "rope"), edit("depth", "minus_1")]
    assert candidate_name(number=2, generation=1, steps=several) == "g001-0002-position-rope-depth-minus-1"


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
    name = candidate_name(number=1, generation=0, steps=[edit(operator, variant)])
    assert name == f"g000-0001-{slug}"


@settings(max_examples=60, deadline=None)
@given(number=st.integers(0, 10**7), generation=st.integers(0, 10**4), operator=st.text(), variant=st.text())
def test_every_name_is_a_valid_branch(number, generation, operator, variant):
    name = candidate_name(number=number, generation=generation, steps=[edit(operator, variant)])
    assert re.fullmatch(r"[a-z0-9][a-z0-9/_.-]*", name)
    assert ".." not in name
    assert not name.endswith(".lock")
    assert len(name) < 90
    subprocess.run(["git", "check-ref-format", f"refs/heads/candidate/{name}"], check=True)


STEP = st.builds(
    edit,
    operator=LINES.map(lambda line: line or "seed"),
    variant=LINES,
    site=LINES,
    words=WORDS | st.sampled_from(AWKWARD),
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(STEP, min_size=1, max_size=5), seed=st.integers())
def test_a_message_is_read_back_by_us_and_by_git(git, tmp_path, steps, seed):
    message = write_message(number=7, generation=2, steps=steps, seed=seed)
    candidate = read_candidate(commit="c" * 40, tree="t" * 40, parents=("p" * 40,), message=message)
    assert candidate is not None
    assert (candidate.steps, candidate.seed) == (tuple(steps), seed)
    assert (candidate.number, candidate.generation, candidate.parents) == (7, 2, ("p" * 40,))
    parsed = git(tmp_path, "interpret-trailers", "--parse", stdin=message)
    expected = ["Foundry-Number: 7"]
    for step in steps:
        expected += [f"Operator: {step.operator}", f"Variant: {step.variant}", f"Site: {step.site}"]
    expected += ["Generation: 2", f"Seed: {seed}"]
    assert parsed.split("\n")[:-1] == [line for line in expected if not line.endswith(": ")]


def test_several_edits_stand_below_a_heading_of_one_line():
    said = [
        "GELU → ReLU²",
        "position learned → rope",
        "depth -1",
        "width ×1.5 and the head with it",
        "bias out",
    ]
    steps = [edit(f"operator_{place}", words=words) for place, words in enumerate(said)]
    message = write_message(number=7, generation=2, steps=steps, seed=0)
    heading, _, below = message.partition("\n\n")
    assert heading == "5 edits: GELU → ReLU²; position learned → rope; depth -1; …"
    assert below.startswith("".join(f"- {words}\n" for words in said) + "\nFoundry-Number: 7\n")


@pytest.mark.parametrize(
    "words", ["", "two\nlines", "ends with a space ", "--- cut here", "bell\a", "line\u2028end"]
)
def test_words_that_are_not_one_clean_line_are_our_own_mistake(words):
    with pytest.raises(AssertionError):
        write_message(number=1, generation=1, steps=[edit("o", words=words)], seed=1)


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
