"""A small pretrained model with its tokenizer, in a folder as one of Hugging Face."""

from __future__ import annotations

import json
from pathlib import Path

from zoo_support import stirred

from foundry.data.pretrained import patterns
from foundry.data.pretrained.definition import Definition, alphabet
from foundry.seed import read_model
from foundry.zoo.exporting import export

BLOCK = 16
VOCABULARY = 262
SIZES = {"n_layer": 2, "n_head": 2, "n_kv_head": 1, "n_embd": 32, "n_ffn": 64, "block_size": BLOCK}


def pretrained(folder: Path, *, starts: bool = False) -> Path:
    """Write the folder; `starts` says whether the model expects a token before a text."""
    vocab = {letter: number for number, letter in enumerate(alphabet())}
    merges = [("t", "h"), ("th", "e"), ("Ġ", "the"), ("i", "n")]
    vocab |= {first + second: 256 + i for i, (first, second) in enumerate(merges)}
    added = {"<|endoftext|>": 260, "<|start|>": 261}
    start = (261,) if starts else ()
    made = Definition(vocab=vocab, merges=merges, added=added, pattern=patterns.GPT2, start=start, end=260)
    args = {**SIZES, "vocab_size": VOCABULARY}
    assert export(stirred("llama", args), read_model("llama"), args, folder) == "LlamaForCausalLM"
    (folder / "tokenizer.json").write_text(json.dumps(made.as_json()))
    return folder
