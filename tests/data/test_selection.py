"""Filters and the removal of duplicates: of training text alone, unit by unit."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foundry.data import dataset
from foundry.data.dedupes import near
from foundry.data.selection import DEDUPES, FILTERS, paragraphs, select
from foundry.data.settings import Data
from foundry.registry import load_part, module_names

# name of a filter: threshold, a unit that it keeps, a unit that it leaves out
EXAMPLES: dict[str, tuple[float, str, str]] = {
    "min_length": (5, "12345", "1234"),
    "max_length": (5, "12345", "123456"),
    "letters": (0.5, "ab 1 2", "a 1 2"),
    "repeated_lines": (0.25, "a\nb\n\nc\na\n", "a\nb\na"),
}


@pytest.mark.parametrize("name", module_names(FILTERS))
def test_a_filter_keeps_and_leaves_out(name: str) -> None:
    threshold, kept, left = EXAMPLES[name]
    keep = load_part(FILTERS, "filter", name).keep
    assert keep(kept, threshold)
    assert not keep(left, threshold)


@pytest.mark.parametrize("name", module_names(FILTERS))
@pytest.mark.parametrize("unit", ["", " ", "\n\n"])
def test_a_filter_bears_an_empty_unit(name: str, unit: str) -> None:
    assert load_part(FILTERS, "filter", name).keep(unit, 0.5) in (True, False)


@pytest.mark.parametrize("name", module_names(DEDUPES))
def test_a_unit_that_is_alone_is_kept_and_a_second_only_by_none(name: str) -> None:
    is_new = load_part(DEDUPES, "dedupe", name).build()
    units = ["one two three", "", "a quite different unit of six words or more", "中文"]
    assert [is_new(unit) for unit in units] == [True] * 4
    assert [is_new(unit) for unit in units] == [name == "none"] * 4


def test_units_that_differ_in_a_word_are_near_but_not_exact_duplicates() -> None:
    words = [f"word{i}" for i in range(100)]
    first, second = " ".join(words), " ".join(["Another", *words[1:]]).upper()
    for name, expected in (("exact", True), ("near", False)):
        is_new = load_part(DEDUPES, "dedupe", name).build()
        assert is_new(first)
        assert is_new(second) is expected


@pytest.mark.parametrize("shared", [0.2, 0.5, 0.8, 0.95])
def test_minima_estimate_the_overlap_of_shingles(shared: float) -> None:
    rng = random.Random(0)
    errors = []
    for _ in range(30):
        n = 400
        first = [str(rng.random()) for _ in range(n)]
        second = first[: int(shared * n)] + [str(rng.random()) for _ in range(n - int(shared * n))]
        sets = [
            {" ".join(words[i : i + near.WORDS]) for i in range(n)}
            for words in ([w.replace(".", "") for w in first], [w.replace(".", "") for w in second])
        ]
        true = len(sets[0] & sets[1]) / len(sets[0] | sets[1])
        texts = [" ".join(w.replace(".", "") for w in words) for words in (first, second)]
        estimate = (near.minima(texts[0]) == near.minima(texts[1])).mean()
        errors.append(estimate - true)
    assert abs(np.mean(errors)) < 0.03  # 1.9% is three standard errors at the most
    assert np.std(errors) < 0.09


@given(text=st.text("ab \n\r\t"), size=st.integers(1, 9))
@settings(deadline=None)
def test_paragraphs_join_to_the_text_and_do_not_depend_on_pieces(text: str, size: int) -> None:
    pieces = [(text[i : i + size], False) for i in range(0, len(text), size)]
    found = list(paragraphs(pieces))
    assert "".join(found) == text
    assert found == list(paragraphs([(text, False)]))


def test_paragraphs_end_with_their_blank_lines() -> None:
    text = "One\ntwo\n\nThree\r\n \r\n\n  four\n\n"
    assert list(paragraphs([(text, False)])) == ["One\ntwo\n\n", "Three\r\n \r\n\n", "  four\n\n"]


def test_documents_are_kept_or_left_out_whole() -> None:
    data = Data(filters=("min_length=4", "max_length=9"), dedupe="exact")
    pieces = [
        ("long\n\ne", False),
        ("nough", True),
        ("ok", True),
        ("fine", True),
        ("fine", True),
        ("end", False),
    ]
    assert list(select(pieces, data, documents=True)) == [("fine", True)]
    assert list(select(pieces, Data(filters=("min_length=5",)), documents=True)) == [("long\n\nenough", True)]
    assert list(select(pieces, Data(), documents=True)) == pieces


def test_validation_text_is_never_touched(tmp_path: Path) -> None:
    path = tmp_path / "documents.jsonl"
    path.write_text("".join(json.dumps({"text": f"{i % 7} again"}) + "\n" for i in range(400)))
    all_of_it = dataset.load(Data(dataset=str(path)))
    chosen = dataset.load(Data(dataset=str(path), filters=("min_length=3",), dedupe="exact"))
    assert chosen.decode(chosen.splits["train"].tokens.tolist()) == "".join(f"{i} again\n" for i in range(7))
    for name in ("val_search", "val_confirm", "test"):
        assert np.array_equal(chosen.splits[name].tokens, all_of_it.splits[name].tokens)
        assert chosen.splits[name].n_bytes == all_of_it.splits[name].n_bytes
