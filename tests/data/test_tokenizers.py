"""Byte pairs: trained alike everywhere, cut without a trace, kept as text, and told from what is missing."""

from __future__ import annotations

import hashlib
import itertools
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import regex
import tiktoken
import tiktoken_ext.openai_public as published_encodings
from hypothesis import example, given, settings
from hypothesis import strategies as st

from foundry.data import dataset, reading
from foundry.data.byte_pairs import BytePairs, format_ranks, last_cut, parse_ranks
from foundry.data.settings import Data
from foundry.data.tokenizers.bpe import PATTERN
from foundry.errors import UserError
from foundry.registry import module_names

BPE = Data(tokenizer="bpe", vocab_size=600)

# letters, digits, marks, contractions, every kind of white space, and letters without spaces between them
ODDITIES = st.text(st.sampled_from(" \n\r\t\x1c\x85\u00a0\u2028'sSt,.!_-/aZéǅ中٣12\u0301𝄞"), max_size=40)


def patterns() -> dict[str, str]:
    """Return our pattern and those that tiktoken publishes, whose ranks are not here."""
    found = {"bpe": PATTERN, "gpt2": published_encodings.r50k_pat_str}
    load = published_encodings.load_tiktoken_bpe
    published_encodings.load_tiktoken_bpe = lambda *_, **__: {}
    try:
        for name in ("cl100k_base", "o200k_base"):
            found[name] = getattr(published_encodings, name)()["pat_str"]
    finally:
        published_encodings.load_tiktoken_bpe = load
    return found


PATTERNS = patterns()


def test_every_tokenizer_with_a_pattern_is_tried_here() -> None:
    assert {"char", "pretrained", *PATTERNS} == set(module_names("foundry/data/tokenizers"))


@pytest.mark.parametrize("name", PATTERNS)
@given(text=ODDITIES, more=ODDITIES)
@example(text="one two", more="")
@example(text="!\nx", more="/")
@example(text="a\n\nb c", more="")
@settings(deadline=None, max_examples=300)
def test_a_cut_leaves_every_word_whole_whatever_follows(name: str, text: str, more: str) -> None:
    words = regex.compile(PATTERNS[name]).findall
    place = last_cut(text)
    assert words(text + more) == words(text[:place]) + words(text[place:] + more)


def test_ordinary_text_can_be_cut() -> None:
    assert last_cut("To be, or not to be") == len("To be, or not to")
    assert last_cut("天地玄黃。\n宇宙洪荒") == len("天地玄黃。\n")
    assert last_cut("word\r\n") == len("word")
    assert last_cut("nowhere") == 0


@pytest.mark.parametrize("tokenizer", ["char", "bpe"])
def test_tokens_do_not_depend_on_the_size_of_pieces(tokenizer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    data = dataset.load(Data(tokenizer=tokenizer))
    text = dataset.read_text("shakespeare_char")[:30_000]
    whole = data.tokenizer.encode(text)
    for chunk, piece in ((1, 7), (100, 1), (1000, 3000), (1 << 20, 5000)):
        monkeypatch.setattr(reading, "CHUNK", chunk)
        pieces = [(text[i : i + piece], False) for i in range(0, len(text), piece)]
        chunks = list(reading.encoded(pieces, data.tokenizer))
        assert np.array_equal(np.concatenate([tokens for tokens, _ in chunks]), whole)
        assert sum(n_bytes for _, n_bytes in chunks) == len(text.encode())


def test_documents_are_encoded_one_by_one() -> None:
    tokenizer = dataset.load(BPE).tokenizer
    pieces = [("To be", False), (" or", True), ("", True), ("not", False), (" to be", True)]
    chunks = list(reading.encoded(pieces, tokenizer))
    expected = [*tokenizer.encode("To be or"), tokenizer.end, tokenizer.end]
    assert np.concatenate([tokens for tokens, _ in chunks]).tolist() == [
        *expected,
        *tokenizer.encode("not to be"),
        tokenizer.end,
    ]
    assert sum(n_bytes for _, n_bytes in chunks) == len("To be or\n\nnot to be\n")


@given(text=st.text(st.characters(exclude_categories=["Cs"])))
@settings(deadline=None)
def test_byte_pairs_spell_every_text(text: str) -> None:
    tokenizer = dataset.load(BPE).tokenizer
    ids = tokenizer.encode(text)
    assert tokenizer.decode(ids.tolist()) == text
    spelling = tokenizer.spelling()
    assert b"".join(spelling[i] for i in ids) == text.encode()


def test_what_looks_like_a_special_token_is_text() -> None:
    tokenizer = dataset.load(BPE).tokenizer
    ids = tokenizer.encode("<|endoftext|>").tolist()
    assert tokenizer.end == tokenizer.vocab_size - 1 == 599
    assert tokenizer.end not in ids
    assert tokenizer.decode(ids) == tokenizer.decode([tokenizer.end]) == "<|endoftext|>"


def test_tokens_are_those_of_the_merges_by_their_definition() -> None:
    tokenizer = dataset.load(BPE).tokenizer
    assert isinstance(tokenizer, BytePairs)
    text = dataset.read_text("shakespeare_char")[5000:7000]
    expected = []
    for word in regex.findall(PATTERN, text):
        parts = [bytes([byte]) for byte in word.encode()]
        while True:
            pairs = [a + b for a, b in itertools.pairwise(parts)]
            known = [(tokenizer.ranks[pair], i) for i, pair in enumerate(pairs) if pair in tokenizer.ranks]
            if not known:
                break
            i = min(known)[1]
            parts[i : i + 2] = [parts[i] + parts[i + 1]]
        expected += [tokenizer.ranks[part] for part in parts]
    assert tokenizer.encode(text).tolist() == expected


@pytest.mark.parametrize("threads", ["1", "3"])
def test_other_processes_with_other_threads_train_the_same(threads: str) -> None:
    program = (
        "from foundry.data import dataset, settings;"
        "print(dataset.load(settings.Data(tokenizer='bpe', vocab_size=600)).sha256)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "RAYON_NUM_THREADS": threads, "PYTHONHASHSEED": threads},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stdout.strip() == dataset.load(BPE).sha256


def test_ranks_are_kept_as_tiktokens_own_files_are(tmp_path: Path) -> None:
    tokenizer = dataset.load(BPE).tokenizer
    assert isinstance(tokenizer, BytePairs)
    path = tmp_path / "ranks.tiktoken"
    path.write_text(format_ranks(tokenizer.ranks))
    assert tiktoken.load.load_tiktoken_bpe(str(path)) == tokenizer.ranks
    assert parse_ranks(path.read_text()) == tokenizer.ranks


@pytest.mark.parametrize("name", ["gpt2", "cl100k_base", "o200k_base"])
def test_a_published_tokenizer_that_cannot_be_had_is_a_sentence(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path))
    for proxy in ("https_proxy", "HTTPS_PROXY"):
        monkeypatch.setenv(proxy, "http://127.0.0.1:9")  # where nobody answers
    for direct in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(direct, raising=False)
    with pytest.raises(UserError, match=r"set TIKTOKEN_CACHE_DIR to a folder that holds it as [0-9a-f]{40}"):
        dataset.load(Data(tokenizer=name))
    assert not list(tmp_path.iterdir())


def test_a_published_tokenizer_comes_from_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A registered encoding with ranks of ours, in the cache under the name of the address."""
    ours = dataset.load(BPE).tokenizer
    assert isinstance(ours, BytePairs)
    content = format_ranks(ours.ranks).encode()
    url = "https://openaipublic.blob.core.windows.net/encodings/cl100k_base.tiktoken"
    (tmp_path / hashlib.sha1(url.encode()).hexdigest()).write_bytes(content)
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path))
    load = published_encodings.load_tiktoken_bpe
    expected = {"expected_hash": hashlib.sha256(content).hexdigest()}
    monkeypatch.setattr(published_encodings, "load_tiktoken_bpe", lambda path, **_: load(path, **expected))
    monkeypatch.setattr(tiktoken.registry, "ENCODINGS", {})
    loaded = dataset.load(Data(tokenizer="cl100k_base"))
    assert loaded.vocab_size == 100_277
    assert loaded.splits["train"].tokens.dtype == np.uint32
    assert loaded.tokenizer.decode([loaded.tokenizer.end]) == "<|endoftext|>"
    text = dataset.read_text("shakespeare_char")
    for name in ("train", "test"):
        assert loaded.decode(loaded.splits[name].tokens.tolist()) in text
    assert sum(split.n_bytes for split in loaded.splits.values()) == len(text.encode())
