"""Experiments that are nonsense, or nearly right: a UserError of one line, or an experiment."""

from __future__ import annotations

import contextlib
from pathlib import Path

import yaml
from fuzz_data_helpers import anything, examples, looking
from hypothesis import given
from hypothesis import strategies as st

from foundry.errors import UserError
from foundry.training import experiment

ROOT = Path(__file__).parents[2]
MICRO = (ROOT / "experiments" / "micro.yaml").read_text()
KEYS = ("name", "base_model", "model_args", "training", "data", "loss", "lora", "init_from", "mutations")
INNER = (
    "n_layer",
    "block_size",
    "batch_size",
    "learning_rate",
    "optimizer",
    "schedule",
    "dataset",
    "seed",
    "rank",
)
AWKWARD = (
    "&a [*a]",
    "{<<: *b}",
    "!!python/object/apply:os.system [x]",
    "2024-13-45",
    "[" * 60,
    "? ? ?",
    "\t",
    "a: b: c",
    "=",
)


@examples
def test_experiments(examples: int) -> None:
    inner = st.dictionaries(st.sampled_from(INNER) | st.text(max_size=6), anything, max_size=4)
    bodies = st.dictionaries(st.sampled_from(KEYS), anything | inner, max_size=5)
    texts = bodies.map(lambda body: yaml.safe_dump(body)) | st.text(max_size=60) | st.sampled_from(AWKWARD)

    @looking(examples * 4)
    @given(texts | _altered())
    def check(text: str) -> None:
        with contextlib.suppress(UserError):
            experiment.parse(text)

    check()


@st.composite
def _altered(draw: st.DrawFn) -> str:
    """Put something else into a line of an experiment that is right."""
    lines = MICRO.splitlines()
    at = draw(st.integers(0, len(lines) - 1))
    key, colon, _ = lines[at].partition(":")
    instead = draw(
        st.sampled_from(AWKWARD) | st.text(max_size=10) | anything.map(lambda value: f" {value!r}")
    )
    lines[at] = f"{key}{colon} {instead}"
    return "\n".join(lines)
