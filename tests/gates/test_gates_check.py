"""What `check` promises of itself: an order, no trace left behind, and an answer for any text at all."""

from __future__ import annotations

import importlib
import random

import pytest
import torch
from gates_helpers import built, normed, seed_source, subject, v1_with
from hypothesis import given, settings
from hypothesis import strategies as st

from foundry import gates


def test_gates_run_in_the_order_that_their_files_declare() -> None:
    orders = [importlib.import_module(f"foundry.gates.{name}").ORDER for name in gates.names()]
    assert orders == sorted(set(orders))
    assert gates.names()[:3] == [
        "source_size",
        "syntax",
        "allow_list",
    ]  # nothing runs before these have passed


def test_nothing_is_executed_before_the_allow_list_has_passed() -> None:
    examined = subject(v1_with(("import inspect\n", "import os\n\nraise SystemExit\n")))
    assert gates.check(examined) == gates.Failure("allow_list", "imports os (model.py:7)")
    assert "module" not in vars(examined)


@pytest.mark.parametrize(
    "source",
    [
        seed_source("v1"),
        v1_with(normed("torch.set_grad_enabled(False)")),
        v1_with(built("torch.rand(3)", "raise RuntimeError")),
    ],
)
def test_global_state_is_left_as_it_was(source: str) -> None:
    torch.manual_seed(7)
    state = torch.get_rng_state()
    numbers = random.getstate()
    with torch.no_grad():
        gates.check(subject(source))
        assert not torch.is_grad_enabled()
    gates.check(subject(source))
    assert torch.is_grad_enabled()
    assert torch.get_rng_state().equal(state)
    assert random.getstate() == numbers
    assert torch.get_default_dtype() == torch.float32


def test_the_verdict_does_not_depend_on_the_state_of_the_generator() -> None:
    faulty = v1_with(normed("x = x + 0.01 * torch.rand_like(x)"))
    torch.manual_seed(1)
    first = gates.check(subject(faulty))
    torch.manual_seed(2)
    assert gates.check(subject(faulty)) == first


def test_gates_of_one_subject_do_not_disturb_each_other() -> None:
    shared = subject(seed_source("v2"), n_kv_head=2)
    for name in [*reversed(gates.names()), *gates.names()]:
        assert gates.run(name, shared) is None


def test_a_person_can_still_interrupt() -> None:
    examined = subject(v1_with(built("raise KeyboardInterrupt")))
    with pytest.raises(KeyboardInterrupt):
        gates.run("instantiate", examined)
    failure = gates.check(examined)  # a candidate cannot pretend to be one
    assert failure is not None
    assert failure.gate == "allow_list"


LINES = seed_source("v1").splitlines(keepends=True)
TEXTS = st.one_of(
    st.text(),
    st.text(alphabet=st.characters(max_codepoint=127)),
    st.sampled_from(
        ["(" * 5_000, "-" * 50_000 + "1", "\ud800", "x = " + "[" * 90 + "]" * 90, "a." * 20_000 + "a"]
    ),
)


@settings(derandomize=True, max_examples=60, deadline=None)
@given(TEXTS)
def test_any_text_is_judged(text: str) -> None:
    failure = gates.check(subject(text))
    assert failure is not None
    assert failure.reason.isprintable()


@settings(derandomize=True, max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(14, len(LINES) - 1), st.sampled_from("dr+-")), min_size=1, max_size=3))
def test_any_damage_to_v1_is_judged(damages: list[tuple[int, str]]) -> None:
    """Lines deleted, repeated, and moved in or out by one level."""
    lines = list(LINES)
    for number, kind in damages:
        line = lines[number]
        lines[number] = {"d": "", "r": line + line, "+": "    " + line, "-": line.removeprefix("    ")}[kind]
    failure = gates.check(subject("".join(lines)))
    assert failure is None or (failure.gate in gates.names() and failure.reason.isprintable())
