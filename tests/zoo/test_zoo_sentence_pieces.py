"""A model with a tokenizer in the manner of SentencePiece, from its folder to text and bits per byte."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import yaml
from zoo_support import stirred

pytest.importorskip("tokenizers")

from foundry.cli import main
from foundry.cli.sample import find
from foundry.data import dataset
from foundry.data.pretrained.opening import read
from foundry.data.pretrained.pieces import SPACE, STRETCHES, Pieces
from foundry.data.settings import Data
from foundry.seed import read_model
from foundry.zoo.exporting import export

SIZES = {"n_layer": 1, "n_head": 2, "n_kv_head": 1, "n_embd": 32, "n_ffn": 64, "block_size": 16}
SPECIAL = {"<unk>": 0, "<s>": 1, "</s>": 2}
MERGES = [("t", "h"), ("th", "e"), (SPACE, "the"), ("i", "n")]
TEXT = "In the beginning there was the word: λόγος.\n"


def mistral(folder: Path) -> Path:
    """Write a folder as Hugging Face has one, its tokens being bytes, letters and a few words."""
    letters = [SPACE, *"abcdefghijklmnopqrstuvwxyz", *(first + second for first, second in MERGES)]
    tokens = [f"<0x{byte:02X}>" for byte in range(256)] + letters
    vocab = {token: number for number, token in enumerate(tokens, start=len(SPECIAL))}
    made = Pieces(
        vocab=vocab, merges=MERGES, added=SPECIAL, prefix=STRETCHES, unknown="<unk>", start=(1,), end=2
    )
    args = {**SIZES, "vocab_size": len(vocab) + len(SPECIAL)}
    assert export(stirred("llama", args), read_model("llama"), args, folder) == "LlamaForCausalLM"
    (folder / "tokenizer.json").write_text(json.dumps(made.as_json()))
    return folder


def test_bits_per_byte_are_of_the_bytes_of_the_text(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, text = mistral(tmp_path / "tiny"), tmp_path / "text.txt"
    text.write_text(TEXT)
    assert main(["perplexity", str(folder), str(text), "--json", "--threads", "1"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["bytes"] == len(TEXT.encode())
    assert found["tokens"] == len(read(folder).encode(TEXT))


def test_prepared_data_keeps_the_tokenizer(tmp_path: Path) -> None:
    folder, text = mistral(tmp_path / "tiny"), tmp_path / "text.txt"
    text.write_text(TEXT * 100)
    made = ["--tokenizer", "pretrained", "--vocabulary", str(folder), "--out", str(tmp_path / "made")]
    assert main(["data", "prepare", str(text), *made]) == 0
    found = dataset.load(Data(dataset=str(tmp_path / "made")))
    asked = dataset.load(Data(dataset=str(text), tokenizer="pretrained", vocabulary=str(folder)))
    assert found.tokenizer.sha256 == asked.tokenizer.sha256 == read(folder).sha256
    assert found.splits["test"].tokens.tolist() == asked.splits["test"].tokens.tolist()
    assert sum(split.n_bytes for split in found.splits.values()) == len(TEXT.encode()) * 100


@torch.no_grad()
def by_hand(folder: str, prompt: str, n: int) -> str:
    """Write the likeliest tokens after <s> and a prompt."""
    model = find(folder, arena="", checkpoint="best").model(lambda done, total: None).eval()
    tokenizer = read(Path(folder, "../tiny").resolve())
    ids = [1, *tokenizer.encode(prompt).tolist()]
    for _ in range(n):
        ids.append(int(model(torch.tensor([ids]))[0][0, -1].argmax()))
    return tokenizer.decode(ids[1:])


def test_it_is_trained_and_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = mistral(tmp_path / "tiny")
    Path("text.txt").write_text(TEXT * 100)
    assert main(["zoo", "tiny"]) == 0
    asked = yaml.safe_load(Path("experiments/tiny.yaml").read_text())["data"]
    assert (asked["tokenizer"], asked["vocabulary"]) == ("pretrained", str(folder / "tokenizer.json"))
    settings = ["data.dataset=text.txt", "training.max_iters=2", "training.eval_interval=2", "--threads=1"]
    assert main(["train", "experiments/tiny.yaml", *settings, "--out", "trained"]) == 0
    capsys.readouterr()
    assert main(["sample", "trained", "--prompt", "In the", "--tokens", "30", "--threads", "1"]) == 0
    assert capsys.readouterr().out.startswith("In the")
    greedily = ["--prompt", "In the", "--temperature", "0", "--tokens", "9", "--threads", "1"]
    assert main(["sample", "trained", *greedily]) == 0
    assert capsys.readouterr().out == f"{by_hand('trained', 'In the', 9)}\n"
    assert main(["export", "trained", "--hf", "exported"]) == 0
    assert read(Path("exported")).sha256 == read(folder).sha256
