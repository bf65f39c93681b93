"""What births may change of an experiment's numbers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foundry.cli.genes import around, from_scratch
from operators import numbers


@given(name=st.sampled_from(sorted(numbers.RANGES)), part=st.floats(0, 1), factor=st.floats(0.01, 100))
def test_what_is_near_a_number_holds_it(name: str, part: float, factor: float) -> None:
    whole = from_scratch()[name]
    value = factor * (whole.low + part * (whole.high - whole.low))  # outside of its range, too
    if whole.whole:
        value = float(round(value))
    if whole.log:
        value = max(value, 1e-9 if not whole.whole else 1.0)
    near = around({name: value})
    if name in numbers.OF_THE_MODEL:
        assert near == {}
        return
    assert near[name].low <= value <= near[name].high
    assert (near[name].log, near[name].whole) == (whole.log, whole.whole)
    assert not whole.whole or near[name].low == int(near[name].low)


@pytest.mark.parametrize("rate", [2e-5, 1e-3])
def test_pretrained_weights_are_trained_at_about_the_rate_that_they_are_given(rate: float) -> None:
    found = around({"learning_rate": rate, "rope_theta": 1e5, "warmup_iters": 2, "batch_size": 2})
    assert sorted(found) == ["batch_size", "learning_rate", "warmup_iters"]
    assert found["learning_rate"].high == pytest.approx(5 * rate)
    assert found["learning_rate"].low == pytest.approx(rate / 5)
    assert (found["warmup_iters"].low, found["warmup_iters"].high) == (0, 10)
    assert (found["batch_size"].low, found["batch_size"].high) == (1, 10)


def test_only_numbers_that_are_there() -> None:
    assert around({"beta2": 0.99}).keys() == {"beta2"}
