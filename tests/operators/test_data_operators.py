"""Filters and dedupe of the training text: a key is changed where it is, and written where it is missing."""

import pytest
import yaml

import operators
from foundry.training import experiment
from operators import Edit, Source
from operators.syntax.experiment import read_experiment
from operators.syntax.neighbour import set_beside

BLOCK = (
    "# of what\ndata:\n  dataset: shakespeare_char  # shipped\n  split: nanogpt\ntraining:\n  max_iters: 10\n"
)
LAYOUTS = [
    BLOCK,
    BLOCK.replace("\n", "\r\n"),
    "data:\n  dataset: shakespeare_char",
    "data: {dataset: shakespeare_char}\n",
    "data: {\n  dataset: shakespeare_char,\n  split: nanogpt\n}\n",
    "data: {\n  dataset: shakespeare_char\n}\n",
    "data:\n  'dataset': 'shakespeare_char'\n  split: nanogpt\n",
    "data:\n  split: nanogpt\n",
]
FILTERED = [
    "data:\n  filters: [letters=0.6]\n",
    "data: {filters: [letters=0.6], split: nanogpt}\n",
    "data:\n  filters:\n    - letters=0.6  # of all\n  split: nanogpt\n",
    "data:\n  filters:\n  - letters=0.6\n",
    "data:\n  filters:\n    - letters=0.6",
    "data:\n  filters:  # of paragraphs\n    - letters=0.6\n",
    "data:\r\n  filters:\r\n    - letters=0.6\r\n  split: nanogpt\r\n",
]


def after(text: str, operator: str, variant: str) -> str:
    site = {"dedupe": "data.dedupe", "data_filter": "data.filters"}[operator]
    return operators.apply(Source("", text), Edit(operator, variant, site)).experiment


@pytest.mark.parametrize("text", LAYOUTS)
@pytest.mark.parametrize(
    ("operator", "variant", "key", "value"),
    [
        ("dedupe", "exact", "dedupe", "exact"),
        ("dedupe", "near", "dedupe", "near"),
        ("data_filter", "max_length-500", "filters", ["max_length=500"]),
    ],
)
def test_a_missing_key_is_written(text: str, operator: str, variant: str, key: str, value: object) -> None:
    result = after(text, operator, variant)
    assert yaml.safe_load(result)["data"] == yaml.safe_load(text)["data"] | {key: value}
    assert ("\r\n" in result) == ("\r\n" in text)
    lines = result.splitlines()
    assert all(line in lines for line in text.splitlines() if "dataset" not in line or ":" in line[-2:])


@pytest.mark.parametrize("text", FILTERED)
@pytest.mark.parametrize(
    ("variant", "filters"),
    [
        ("max_length-2000", ["letters=0.6", "max_length=2000"]),
        ("letters-0.7", ["letters=0.7"]),
        ("none", []),
    ],
)
def test_a_list_is_changed_in_its_own_layout(text: str, variant: str, filters: list[str]) -> None:
    result = after(text, "data_filter", variant)
    assert yaml.safe_load(result) == {"data": yaml.safe_load(text)["data"] | {"filters": filters}}
    if filters:
        assert ("[" in result) == ("[" in text)
        assert ("# of all" in result) == ("# of all" in text)


def test_every_variant_is_one_that_the_schema_knows() -> None:
    source = Source("", BLOCK)
    for name in ("dedupe", "data_filter"):
        edits = operators.load()[name].sites(source)
        assert edits
        for edit in edits:
            experiment.parse(operators.apply(source, edit).experiment)


def test_what_filters_already_is_not_offered_again() -> None:
    offered = {e.variant for e in operators.load()["data_filter"].sites(Source("", FILTERED[0]))}
    assert "letters-0.6" not in offered
    assert {"letters-0.7", "none", "min_length-20"} <= offered


@pytest.mark.parametrize(
    "text", ["data: none\n", "data:\n  filters: 3\n", "data:\n  filters: [[1]]\n", "data: {}\n"]
)
def test_filters_of_another_kind_are_left_alone(text: str) -> None:
    assert operators.load()["data_filter"].sites(Source("", text)) == []


def test_a_value_may_change_beside_the_new_key() -> None:
    read = read_experiment("training: {optimizer: adamw, beta1: 0.9}\n")
    text = set_beside(read, "training.optimizer", "muon_lr", "0.02", changed="muon")
    assert text == "training: {optimizer: muon, muon_lr: 0.02, beta1: 0.9}\n"
