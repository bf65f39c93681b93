"""Edits of an experiment change the values concerned and nothing else, in whatever layout YAML is written."""

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

import operators
from operators import Edit, Source
from operators.syntax.experiment import float_text

BLOCK = """\
# a comment
training:
    batch_size: 12   # per step
    max_iters: 1000
    learning_rate: 1.0e-3
    optimizer: 'adamw'  # the usual
"""
FLOW = "training: {batch_size: 12, max_iters: 1000, learning_rate: 0.001, optimizer: adamw}"


def edited(experiment: str, operator: str, variant: str, site: str) -> str:
    return operators.apply(Source("", experiment), Edit(operator, variant, f"training.{site}")).experiment


@pytest.mark.parametrize(
    "text", [BLOCK, FLOW, BLOCK.replace("\n", "\r\n"), BLOCK.rstrip("\n"), FLOW.replace(", ", ",\n  ")]
)
def test_optimizer_there_and_back_is_where_it_began(text: str) -> None:
    muon = edited(text, "optimizer", "muon", "optimizer")
    assert yaml.safe_load(muon)["training"] == yaml.safe_load(text)["training"] | {
        "optimizer": "muon",
        "muon_lr": 0.02,
    }
    back = edited(muon, "optimizer", "adamw", "optimizer")
    assert back.rstrip("\r\n") == text.replace("'adamw'", "adamw").rstrip("\r\n")


def test_the_rate_of_muon_stands_below_it() -> None:
    after = edited(BLOCK, "optimizer", "muon", "optimizer")
    assert after.endswith("    optimizer: muon  # the usual\n    muon_lr: 0.02\n")


def test_comments_and_layout_survive() -> None:
    after = edited(BLOCK, "batch_size", "x2", "batch_size")
    assert after == BLOCK.replace("12 ", "24 ").replace("1000", "500")


def test_tokens_stay_equal_or_there_is_no_offer() -> None:
    source = Source("", "training: {batch_size: 5, max_iters: 7}\n")
    assert operators.load()["batch_size"].sites(source) == []


def test_depth_stays_positive() -> None:
    sites = operators.load()["depth"].sites(Source("", "model_args: {n_layer: 2}\n"))
    assert [edit.variant for edit in sites] == ["minus-1", "plus-1", "plus-2"]


@given(st.floats(1e-9, 1e9), st.sampled_from(["0.1", "1.0e-3", "1e3"]))
def test_floats_are_read_back_as_floats(value: float, like: str) -> None:
    read = yaml.safe_load(float_text(value, like))
    assert isinstance(read, float)
    assert read == float(f"{value:.3g}")
