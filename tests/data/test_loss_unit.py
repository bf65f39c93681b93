"""In whose tokens losses are counted: what an experiment may say of it, and how a loss is converted."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import operators
from foundry.data import dataset
from foundry.data.settings import Data
from foundry.data.splits import Split
from foundry.errors import UserError
from foundry.training import score
from foundry.training.experiment import parse
from operators import Source

VARIANTS = ("char", "bpe-512", "bpe-1024", "bpe-2048")
PARTS = ("val_search", "val_confirm", "test")
BEGINNINGS = (
    "data:\n  dataset: {}\n",
    "data: {{dataset: {}, tokenizer: bpe, vocab_size: 300}}\n",
    "data:\n  dataset: {}\n  tokenizer: bpe\n  vocab_size: 512  # small\n  split: nanogpt\n",
)


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "text.txt"
    path.write_text(dataset.read_text("shakespeare_char")[:20_000], "utf-8")
    return path


@pytest.mark.parametrize("beginning", BEGINNINGS)
@given(chain=st.lists(st.sampled_from(VARIANTS), min_size=1, max_size=4))
@settings(max_examples=12, deadline=None)
def test_whatever_tokenizers_follow_each_other_the_unit_stays(
    text: Path, beginning: str, chain: list[str]
) -> None:
    operator = operators.load()["tokenizer"]
    source = Source("", beginning.format(text))
    run = parse(source.experiment).data
    for variant in chain:
        edits = [edit for edit in operator.sites(source) if edit.variant == variant]
        before = parse(source.experiment).data
        assert len(edits) == (variant not in ("char" if before.tokenizer is None else "", _spelled(before)))
        source = operator.apply(source, edits[0]) if edits else source
    data = parse(source.experiment).data
    assert _spelled(data) == chain[-1]
    assert dataset.unselected(data) is dataset.unselected(run) or (
        dataset.unselected(data).sha256 == dataset.unselected(run).sha256
    )


def _spelled(data: Data) -> str:
    return f"{data.tokenizer or 'char'}-{data.vocab_size}" if data.vocab_size else data.tokenizer or "char"


def test_splits_are_cut_at_the_same_places_whatever_the_tokens(text: Path) -> None:
    characters = dataset.load(Data(dataset=str(text)))
    byte_pairs = dataset.load(Data(dataset=str(text), tokenizer="bpe", vocab_size=400))
    for name in PARTS:
        own, other = characters.splits[name], byte_pairs.splits[name]
        assert characters.decode(own.tokens.tolist()) == byte_pairs.decode(other.tokens.tolist())
        assert own.n_bytes == other.n_bytes
        assert len(other.tokens) < len(own.tokens)


@given(
    loss=st.floats(0.1, 12.0),
    own=st.integers(2, 10**6),
    other=st.integers(2, 10**6),
    n_bytes=st.integers(1, 10**7),
)
def test_a_loss_says_the_same_in_any_unit(loss: float, own: int, other: int, n_bytes: int) -> None:
    split, unit = (Split(np.zeros(count, np.uint16), n_bytes) for count in (own, other))
    found, bits = score.in_bits(loss, split, unit)
    assert found * other == pytest.approx(loss * own)
    assert bits * n_bytes * math.log(2) == pytest.approx(loss * own)
    assert score.in_bits(loss, split, split)[0] == loss  # to the last bit


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        ("loss_per: bpe-200", "data.loss_per: data.vocab_size must be above 256"),
        ("loss_per: bpo", "data.loss_per: unknown tokenizer 'bpo'"),
        ("loss_per: char-300", "data.loss_per: data.vocab_size is for data.tokenizer bpe"),
        ("loss_per: bpe-", "data.loss_per must be a tokenizer, such as char or bpe-2048, not 'bpe-'"),
        ("{loss_per: char, vocabulary: x.txt}", "data.loss_per and data.vocabulary do not go together"),
        (
            "{loss_per: char, conversations: {format: chatml}}",
            "data.loss_per and data.conversations do not go together",
        ),
    ],
)
def test_a_wrong_unit_is_named(data: str, complaint: str) -> None:
    with pytest.raises(UserError) as error:
        parse(f"data: {data}\n" if data.startswith("{") else f"data:\n  {data}\n")
    assert complaint in str(error.value)
