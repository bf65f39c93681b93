"""Tokenizers in the manner of SentencePiece, of the package `tokenizers` and of SentencePiece itself."""

from __future__ import annotations

import copy
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tokenizers
from tokenizers import models, pre_tokenizers, trainers

SPACE = "\u2581"
SPECIAL = ("<unk>", "<s>", "</s>", "[INST]", "[/INST]")
BYTES = [f"<0x{byte:02X}>" for byte in range(256)]
TAKEN = ("\n\n", "\n\n\n", "<table>")  # of Gemma: they are text

_WRITE = {"type": "Replace", "pattern": {"String": " "}, "content": SPACE}
_READ: list[dict[str, Any]] = [
    {"type": "Replace", "pattern": {"String": SPACE}, "content": " "},
    {"type": "ByteFallback"},
    {"type": "Fuse"},
]
_STRIP = {"type": "Strip", "content": " ", "start": 1, "stop": 0}


def _metaspace(scheme: str, *, split: bool) -> dict[str, Any]:
    return {"type": "Metaspace", "replacement": SPACE, "prepend_scheme": scheme, "split": split}


# how files of known models say what is done before and after
STEPS: dict[str, dict[str, Any]] = {
    "llama2": {
        "normalizer": {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": SPACE}, _WRITE]},
        "pre_tokenizer": None,
        "decoder": {"type": "Sequence", "decoders": [*_READ, _STRIP]},
    },
    "mistral": {
        "normalizer": None,
        "pre_tokenizer": _metaspace("first", split=False),
        "decoder": {"type": "Sequence", "decoders": [*_READ, _STRIP]},
    },
    "gemma": {
        "normalizer": _WRITE,
        "pre_tokenizer": {
            **{"type": "Split", "pattern": {"String": " "}, "behavior": "MergedWithPrevious"},
            "invert": False,
        },
        "decoder": {"type": "Sequence", "decoders": _READ},
    },
    "words": {
        "normalizer": None,
        "pre_tokenizer": _metaspace("always", split=True),
        "decoder": {"type": "Sequence", "decoders": [*_READ, _STRIP]},
    },
}


def trained(texts: Sequence[str], *, size: int = 600) -> dict[str, Any]:
    """Train pairs of letters; return a tokenizer.json without steps, which leaves rarer letters to bytes."""
    made = tokenizers.Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    made.train_from_iterator(
        texts, trainers.BpeTrainer(vocab_size=size, limit_alphabet=60, show_progress=False)
    )
    body: dict[str, Any] = json.loads(made.to_str())
    learned = sorted(body["model"]["vocab"], key=body["model"]["vocab"].__getitem__)
    plain = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    body["model"] |= {
        "vocab": {token: number for number, token in enumerate([*SPECIAL, *BYTES, *learned])},
        **{"byte_fallback": True, "fuse_unk": True, "unk_token": "<unk>"},
    }
    body["added_tokens"] = [
        {"id": number, "content": token, **plain, "special": True} for number, token in enumerate(SPECIAL)
    ]
    return body


def of_kind(body: dict[str, Any], kind: str) -> dict[str, Any]:
    """Return a tokenizer.json with the steps of some model, and what it takes out of texts."""
    made = copy.deepcopy({**body, **STEPS[kind]})
    if kind == "gemma":
        vocab, plain = made["model"]["vocab"], body["added_tokens"][0]
        more = [token for token in TAKEN if token not in vocab]
        vocab.update({token: len(vocab) + i for i, token in enumerate(more)})
        made["added_tokens"] = [
            *body["added_tokens"],
            *({**plain, "id": vocab[token], "content": token, "special": False} for token in TAKEN),
        ]
    return made


def theirs(body: dict[str, Any]) -> Any:
    """Read a tokenizer.json as they do."""
    made = tokenizers.Tokenizer.from_str(json.dumps(body))
    made.encode_special_tokens = True
    return made


def sentencepiece_model(texts: Sequence[str], path: Path, **settings: Any) -> Any:
    """Train a model with SentencePiece itself, write it, and return its own reader of it."""
    import sentencepiece

    written = io.BytesIO()
    asked = {
        **{"model_type": "bpe", "vocab_size": 700, "byte_fallback": True, "character_coverage": 0.98},
        **{"normalization_rule_name": "identity", "remove_extra_whitespaces": False, "minloglevel": 2},
        **settings,
    }
    sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(texts), model_writer=written, **asked)
    path.write_bytes(written.getvalue())
    return sentencepiece.SentencePieceProcessor(model_proto=written.getvalue())


def gguf_file(path: Path, model: Any, **more: bool) -> Path:
    """Write the pieces of SentencePiece into a GGUF file, as llama.cpp's converter does."""
    import gguf

    def kind(i: int) -> int:
        tests = ((model.is_unknown, 2), (model.is_control, 3), (model.is_unused, 5), (model.is_byte, 6))
        return next((number for test, number in tests if test(i)), 1)

    pieces = range(model.vocab_size())
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_tokenizer_model("llama")
    writer.add_tokenizer_pre("default")
    writer.add_token_list([model.id_to_piece(i) for i in pieces])
    writer.add_token_scores([model.get_score(i) for i in pieces])
    writer.add_token_types([kind(i) for i in pieces])
    writer.add_bos_token_id(model.bos_id())
    writer.add_eos_token_id(model.eos_id())
    for name, value in more.items():
        writer.add_bool(f"tokenizer.ggml.{name}", value)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
