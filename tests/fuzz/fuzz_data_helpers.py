"""How long to look, and what to look with."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st

MODEL = "import torch\n\nACTIVATION = 'gelu'\n"
FILES = {"model.py": MODEL, "experiment.yaml": "name: fuzz\n"}

examples = pytest.mark.parametrize("examples", [40, pytest.param(1200, marks=pytest.mark.slow)])


def looking(number: int) -> settings:
    """Look at so many examples: always the same few, or, where they are many, others each time."""
    return settings(
        max_examples=number,
        derandomize=number < 100,
        database=None,
        deadline=None,
        phases=[Phase.explicit, Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )


def _nested(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)


scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
anything = st.recursive(scalars, _nested, max_leaves=6)


@st.composite
def overwritten(draw: st.DrawFn, content: bytes) -> bytes:
    """Overwrite stretches of a file, and perhaps cut it short or lengthen it."""
    changed = bytearray(content)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(changed)))
        stretch = draw(
            st.binary(min_size=1, max_size=40) | st.binary(min_size=1, max_size=3).map(lambda b: b * 900)
        )
        changed[at : at + len(stretch)] = stretch
    if draw(st.booleans()):
        del changed[draw(st.integers(0, len(changed))) :]
    return bytes(changed)
