"""Tokenizers of the package `tokenizers`, which are what ours have to equal."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import tokenizers
from tokenizers import decoders, models, normalizers, pre_tokenizers, trainers

from foundry.data.pretrained import patterns
from foundry.data.pretrained.definition import alphabet

SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")


def steps(kind: str) -> Any:
    """Return the pre-tokenizer of a family of models, put together as theirs is."""
    if kind == "gpt2":
        return pre_tokenizers.ByteLevel(add_prefix_space=False)
    if kind == "smollm":
        first: Any = pre_tokenizers.Digits(individual_digits=True)
        return pre_tokenizers.Sequence([first, pre_tokenizers.ByteLevel(add_prefix_space=False)])
    pattern = {"llama3": patterns.LLAMA3, "qwen2": patterns.QWEN2}[kind]
    first = pre_tokenizers.Split(tokenizers.Regex(pattern), "isolated")
    return pre_tokenizers.Sequence([first, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


def trained(kind: str, texts: Sequence[str], *, size: int = 700, all_bytes: bool = True) -> Any:
    """Train a tokenizer as the family of models has it."""
    made = tokenizers.Tokenizer(models.BPE())
    made.pre_tokenizer = steps(kind)
    made.decoder = decoders.ByteLevel()
    if kind == "qwen2":
        made.normalizer = normalizers.NFC()
    letters = pre_tokenizers.ByteLevel.alphabet() if all_bytes else []
    trainer = trainers.BpeTrainer(
        vocab_size=size, special_tokens=list(SPECIAL), initial_alphabet=letters, show_progress=False
    )
    made.train_from_iterator(texts, trainer)
    made.encode_special_tokens = True  # what looks like one is text
    return made


def written(vocab: Mapping[str, int], merges: Sequence[tuple[str, str]], **model: Any) -> str:
    """Write a tokenizer.json by hand."""
    body = json.loads(tokenizers.Tokenizer(models.BPE()).to_str())
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    body["pre_tokenizer"] = body["decoder"] = level
    body["model"] |= {"vocab": dict(vocab), "merges": [list(pair) for pair in merges], **model}
    end = {"id": max(vocab.values()) + 1, "content": "<|endoftext|>", "single_word": False, "special": True}
    body["added_tokens"] = [{**end, "lstrip": False, "rstrip": False, "normalized": False}]
    return json.dumps(body)


def theirs(text: str) -> Any:
    """Read a tokenizer.json as they do."""
    made = tokenizers.Tokenizer.from_str(text)
    made.encode_special_tokens = True
    return made


def letters() -> dict[str, int]:
    """Number the bytes by the characters that stand for them."""
    return {letter: number for number, letter in enumerate(alphabet())}


def gguf_file(path: Path, made: Any, pre: str, **more: bool) -> Path:
    """Write the tokenizer into a GGUF file, as llama.cpp's converter does."""
    import gguf

    body = json.loads(made.to_str())
    vocab = made.get_vocab()
    tokens = sorted(vocab, key=vocab.__getitem__)
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre)
    writer.add_token_list(tokens)
    writer.add_token_types([3 if token in SPECIAL else 1 for token in tokens])
    merges = [pair if isinstance(pair, str) else " ".join(pair) for pair in body["model"]["merges"]]
    writer.add_token_merges(merges)
    writer.add_bos_token_id(vocab["<|im_start|>"])
    writer.add_eos_token_id(vocab["<|im_end|>"])
    for name, value in more.items():
        writer.add_bool(f"tokenizer.ggml.{name}", value)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
