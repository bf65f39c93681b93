"""A tokenizer.model, as SentencePiece writes it."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

from foundry.data.pretrained import scored_pieces
from foundry.data.pretrained.json_object import read_object
from foundry.data.pretrained.pieces import Pieces
from foundry.errors import UserError

FILE = "tokenizer.model"
_FIRST = b"\n"  # what a list of pieces begins with; Meta has other files of this name
_BYTE_PAIRS = 2  # as the format numbers kinds of models
_KINDS = {1: "Unigram", 3: "Word", 4: "Char"}


def is_one(path: Path) -> bool:
    """Tell whether a file may be one."""
    with path.open("rb") as file:
        return file.read(1) == _FIRST


def read(path: Path) -> Pieces:
    """Read it.

    Raises:
        UserError: it is damaged, changes text, or is not of byte pairs.
    """
    model = _model(path)
    kind, normalizer = model.trainer_spec.model_type, model.normalizer_spec
    if kind != _BYTE_PAIRS:
        raise UserError(
            f"{path} is a model of type {_KINDS.get(kind, kind)}, and only byte pairs are known here"
        )
    if normalizer.precompiled_charsmap or normalizer.remove_extra_whitespaces:
        raise UserError(
            f"{path} changes text by {normalizer.name}, and only spaces written as letters are known"
        )
    if not normalizer.escape_whitespaces or model.trainer_spec.treat_whitespace_as_suffix:
        raise UserError(f"{path} does not write spaces before words, which is not known here")
    tokens = [piece.piece for piece in model.pieces]
    return scored_pieces.definition(
        tokens,
        [piece.score for piece in model.pieces],
        [piece.type for piece in model.pieces],
        prefix=normalizer.add_dummy_prefix,
        start=_start(model, path),
        named_end=tokens[model.trainer_spec.eos_id : model.trainer_spec.eos_id + 1],
        path=path,
    )


def _start(model: Any, path: Path) -> tuple[int, ...]:
    """Return the token before a text, unless `tokenizer_config.json` says that there is none."""
    beside, first = path.with_name("tokenizer_config.json"), model.trainer_spec.bos_id
    wanted = read_object(beside).get("add_bos_token", True) if beside.is_file() else True
    return (first,) if wanted and first >= 0 else ()


def _model(path: Path) -> Any:
    try:
        errors: Any = importlib.import_module("google.protobuf.message")  # neither has annotations
        written: Any = importlib.import_module("sentencepiece.sentencepiece_model_pb2")
    except ImportError:
        raise UserError(
            f"{path} needs the packages sentencepiece and protobuf: pip install -e '.[sentencepiece]'"
        ) from None
    except Exception as error:  # of protobuf, where it is older than what sentencepiece was made with
        raise UserError(f"{path} cannot be read, for protobuf does not fit sentencepiece: {error}") from None
    model = written.ModelProto()
    try:
        model.ParseFromString(path.read_bytes())
    except (OSError, errors.DecodeError) as error:
        raise UserError(f"{path} cannot be read: {error}") from None
    if not model.pieces:
        raise UserError(f"{path} holds no pieces, so it is no model of SentencePiece")
    return model
