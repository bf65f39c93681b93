"""Find the tokenizer of a pretrained model in its file or folder."""

from __future__ import annotations

from pathlib import Path

from foundry.data.pretrained import gguf_vocabulary, sentencepiece_model, tokenizer_json
from foundry.data.pretrained.byte_level import ByteLevel
from foundry.data.pretrained.pieces import Pieces
from foundry.data.pretrained.sentence_pieces import SentencePieces
from foundry.data.pretrained.tokenizer import Pretrained
from foundry.data.pretrained.tokenizer_json import FILE
from foundry.errors import UserError


def read(path: Path) -> Pretrained:
    """Open a tokenizer.json, a tokenizer.model, a GGUF file, or a folder that holds one of them.

    Raises:
        UserError: there is none, or it is of a kind that is not known here.
    """
    if (file := file_of(path)) is None:
        known = f"a {FILE}, a {sentencepiece_model.FILE} of SentencePiece, a .gguf file"
        raise UserError(f"{path} is no tokenizer: name {known} or a folder with one of them")
    found = _READERS[file.suffix](file)
    return SentencePieces(found) if isinstance(found, Pieces) else ByteLevel(found)


_READERS = {".json": tokenizer_json.read, ".gguf": gguf_vocabulary.read, ".model": sentencepiece_model.read}


def file_of(path: Path) -> Path | None:
    """Return the file that a tokenizer is read from, or None."""
    if path.is_dir():
        found = [path / FILE, *sorted(path.glob("*.gguf")), path / sentencepiece_model.FILE]
        return next((file for file in found if _is_one(file)), None)
    return path if _is_one(path) else None


def _is_one(path: Path) -> bool:
    if not path.is_file() or path.suffix not in _READERS:
        return False
    return path.suffix != ".model" or sentencepiece_model.is_one(path)
