"""Prepared data: the same tokens from files as in memory, whole or not at all, and damage told in words."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from foundry.data import dataset, reading, texts
from foundry.data.manifest import Manifest, read_manifest, verify
from foundry.data.prepare import prepare
from foundry.data.settings import Data
from foundry.errors import UserError


@pytest.fixture(scope="module")
def documents(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("texts") / "documents.jsonl"
    speeches = dataset.read_text("shakespeare_char")[:60_000].split("\n\n")
    path.write_text("".join(json.dumps({"text": speech}) + "\n" for speech in speeches))
    return path


@pytest.fixture
def folder(tmp_path: Path, documents: Path) -> Path:
    """Prepare by byte pairs."""
    prepare(Data(dataset=str(documents), tokenizer="bpe", vocab_size=300), tmp_path / "made")
    return tmp_path / "made"


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"split": "nanogpt"},
        {"tokenizer": "bpe", "vocab_size": 400},
        {"tokenizer": "bpe", "filters": ("min_length=40",), "dedupe": "near"},
        {"vocabulary": "shakespeare_char"},
    ],
)
@pytest.mark.parametrize("shipped", [True, False])
def test_what_is_prepared_is_what_would_be_made_in_memory(
    tmp_path: Path, documents: Path, settings: dict[str, object], shipped: bool
) -> None:
    text = "shakespeare_char" if shipped else str(documents)
    wanted = Data(dataset=text, **settings)  # type: ignore[arg-type]
    manifest = prepare(wanted, tmp_path / "made")
    verify(str(tmp_path / "made"))
    in_memory, mapped = dataset.load(wanted), dataset.load(Data(dataset=str(tmp_path / "made")))
    assert mapped.sha256 == in_memory.sha256 == manifest.sha256
    assert mapped.vocab_size == in_memory.vocab_size
    assert mapped.tokenizer.sha256 == in_memory.tokenizer.sha256
    assert list(mapped.splits) == list(in_memory.splits)
    for name, split in mapped.splits.items():
        assert isinstance(split.tokens, np.memmap)
        assert split.tokens.dtype == in_memory.splits[name].tokens.dtype == np.uint16
        assert np.array_equal(split.tokens, in_memory.splits[name].tokens)
        assert split.n_bytes == in_memory.splits[name].n_bytes


def test_the_result_does_not_depend_on_the_size_of_chunks(
    tmp_path: Path, documents: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "text.txt"
    path.write_text(texts.read_text(str(documents)))
    made: list[Manifest] = []
    for chunk in (500, 7001, 1 << 20):
        monkeypatch.setattr(reading, "CHUNK", chunk)
        monkeypatch.setattr(texts, "CHUNK", chunk)
        data = Data(dataset=str(path), tokenizer="bpe", vocab_size=300, filters=("min_length=30",))
        made.append(prepare(data, tmp_path / str(chunk)))
    assert made[0] == made[1] == made[2]


def test_splits_of_the_same_text_share_a_file(tmp_path: Path) -> None:
    manifest = prepare(Data(split="nanogpt"), tmp_path / "made")
    assert {name: part.file for name, part in manifest.splits.items()} == {
        "train": "train.bin",
        "val_search": "val_search.bin",
        "val_confirm": "val_search.bin",
        "test": "val_search.bin",
    }
    names = sorted(path.name for path in (tmp_path / "made").iterdir())
    assert names == ["manifest.json", "train.bin", "val_search.bin"]


def test_a_manifest_says_what_a_reader_would_check(folder: Path, documents: Path) -> None:
    body = json.loads((folder / "manifest.json").read_text())
    assert body["text_sha256"] == reading.scan(texts.open_text(str(documents))).sha256
    assert (body["tokenizer_name"], body["vocab_size"], body["dtype"]) == ("bpe", 300, "uint16")
    train = body["splits"]["train"]
    assert (folder / "train.bin").stat().st_size == 2 * train["tokens"]
    assert train["bytes_per_token"] == pytest.approx(train["bytes"] / train["tokens"], abs=1e-4)
    assert len((folder / "ranks.tiktoken").read_text().splitlines()) == 299


def test_another_text_takes_the_tokenizer_of_prepared_data(folder: Path, tmp_path: Path) -> None:
    tokenizer = dataset.load(Data(dataset=str(folder))).tokenizer
    loaded = dataset.load(Data(vocabulary=str(folder)))
    assert loaded.tokenizer.sha256 == tokenizer.sha256
    manifest = prepare(Data(vocabulary=str(folder)), tmp_path / "other")
    assert (manifest.tokenizer_name, manifest.sha256) == ("bpe", loaded.sha256)
    mixed = dataset.load(Data(sources={str(folder): 1, "shakespeare_char": 2}))
    assert mixed.tokenizer.sha256 == tokenizer.sha256
    with pytest.raises(UserError, match="was prepared with tokenizer 'bpe', not 'char'"):
        dataset.load(Data(vocabulary=str(folder), tokenizer="char"))


def test_different_tokenizers_do_not_mix(folder: Path, tmp_path: Path, documents: Path) -> None:
    prepare(Data(dataset=str(documents), tokenizer="bpe", vocab_size=290), tmp_path / "other")
    with pytest.raises(UserError, match="have different tokenizers: prepare one with --vocabulary"):
        dataset.load(Data(sources={str(folder): 1, str(tmp_path / "other"): 1}))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"split": "nanogpt"}, "with split 'standard', not 'nanogpt'"),
        ({"tokenizer": "char"}, "with tokenizer 'bpe', not 'char'"),
        ({"tokenizer": "bpe", "vocab_size": 500}, "with vocab_size 300, not 500"),
        ({"filters": ("letters=0.5",)}, r"with filters \[\], not \['letters=0.5'\]"),
        ({"dedupe": "exact"}, "with dedupe 'none', not 'exact'"),
        ({"vocabulary": "shakespeare_char"}, "with its own vocabulary"),
    ],
)
def test_an_experiment_cannot_ask_prepared_data_for_something_else(
    folder: Path, settings: dict[str, object], message: str
) -> None:
    same = Data(dataset=str(folder), tokenizer="bpe", vocab_size=300, curriculum="block_ramp")
    assert dataset.load(same).sha256 == dataset.load(Data(dataset=str(folder))).sha256
    with pytest.raises(UserError, match=message):
        dataset.load(Data(dataset=str(folder), **settings))  # type: ignore[arg-type]


def _spoil(folder: Path, key: str, value: object) -> None:
    path = folder / "manifest.json"
    body = json.loads(path.read_text())
    outer = body
    *names, last = key.split(".")
    for name in names:
        outer = outer[name]
    outer[last] = value
    path.write_text(json.dumps(body))


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("format", 1, "was prepared in another format"),
        ("dtype", "uint32", "manifest.json is missing or damaged"),
        ("vocab_size", 10, "manifest.json is missing or damaged"),
        ("split", "standart", "manifest.json is missing or damaged"),
        ("splits.train.file", "../train.bin", "manifest.json is missing or damaged"),
        ("splits.train.tokens", 7, "train.bin is missing or damaged"),
        ("splits.train.tokens", "7", "manifest.json is missing or damaged"),
        ("splits", [], "manifest.json is missing or damaged"),
        ("extra", 1, "manifest.json is missing or damaged"),
        ("tokenizer.kind", "words", "manifest.json is missing or damaged"),
        ("tokenizer.special_tokens", None, "manifest.json is missing or damaged"),
        ("tokenizer.ranks_sha256", "0", "ranks.tiktoken is missing or damaged"),
    ],
)
def test_a_damaged_manifest_is_one_sentence(folder: Path, key: str, value: object, message: str) -> None:
    _spoil(folder, key, value)
    with pytest.raises(UserError, match=message):
        dataset.load(Data(dataset=str(folder)))


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"\xff"])
def test_a_manifest_that_is_none_is_one_sentence(folder: Path, content: bytes) -> None:
    (folder / "manifest.json").write_bytes(content)
    with pytest.raises(UserError, match=r"manifest.json is missing or damaged: prepare it again"):
        dataset.load(Data(dataset=str(folder)))


@pytest.mark.parametrize("name", ["train.bin", "test.bin", "ranks.tiktoken"])
def test_a_missing_file_is_one_sentence(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(UserError, match=f"{name} is missing or damaged"):
        dataset.load(Data(dataset=str(folder)))


def test_a_changed_token_is_found_by_reading_everything(folder: Path) -> None:
    verify(str(folder))
    with (folder / "val_confirm.bin").open("r+b") as file:
        file.write(b"\x07")
    dataset.load(Data(dataset=str(folder)))
    with pytest.raises(UserError, match=r"val_confirm.bin is missing or damaged"):
        verify(str(folder))


def test_a_killed_preparation_leaves_nothing_that_loads(tmp_path: Path, documents: Path) -> None:
    out = tmp_path / "made"
    program = f"""
import os, pathlib, signal
from foundry.data import prepare, settings
def die(line):
    if line.startswith("val_search"):
        os.kill(os.getpid(), signal.SIGKILL)
prepare.prepare(settings.Data(dataset={str(documents)!r}), pathlib.Path({str(out)!r}), die)
"""
    done = subprocess.run([sys.executable, "-c", program], env=os.environ, timeout=60)
    assert done.returncode == -signal.SIGKILL
    assert not out.exists()
    left = tmp_path / "made.partial"
    assert (left / "train.bin").exists()
    with pytest.raises(UserError, match=r"is not whole, it has no manifest.json: prepare it again"):
        dataset.load(Data(dataset=str(left)))
    prepare(Data(dataset=str(documents)), out)
    verify(str(out))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["made"]


def test_a_failed_preparation_leaves_nothing(tmp_path: Path, documents: Path) -> None:
    data = Data(dataset=str(documents), filters=("min_length=1000000",))
    with pytest.raises(UserError, match="its filters leave nothing to train on"):
        prepare(data, tmp_path / "made")
    assert not list(tmp_path.iterdir())
    with pytest.raises(UserError, match="its filters leave nothing to train on"):
        dataset.load(data)


def test_what_is_there_is_not_written_over(folder: Path) -> None:
    before = read_manifest(str(folder))
    with pytest.raises(UserError, match="is there already"):
        prepare(Data(), folder)
    assert read_manifest(str(folder)) == before
    with pytest.raises(UserError, match="is prepared already: a text is needed here"):
        prepare(Data(dataset=str(folder)), folder.with_name("again"))


def test_a_moved_folder_is_the_same_data(folder: Path) -> None:
    loaded = dataset.load(Data(dataset=str(folder)))
    copy = folder.with_name("copy")
    shutil.copytree(folder, copy)
    assert dataset.load(replace(Data(), dataset=str(copy))).sha256 == loaded.sha256
