"""Find the tokenizer of a pretrained model in its file or folder."""

from __future__ import annotations

from pathlib import Path

from foundry.data.pretrained import gguf_vocabulary, tokenizer_json
from foundry.data.pretrained.tokenizer import Pretrained
from foundry.data.pretrained.tokenizer_json import FILE
from foundry.errors import UserError


def read(path: Path) -> Pretrained:
    """Open a tokenizer.json, a GGUF file, or a folder that holds one of them.

    Raises:
        UserError: there is none, or it is of a kind that is not known here.
    """
    if (file := file_of(path)) is None:
        raise UserError(f"{path} is no tokenizer: name a {FILE}, a .gguf file or a folder with one of them")
    return Pretrained(gguf_vocabulary.read(file) if file.suffix == ".gguf" else tokenizer_json.read(file))


def file_of(path: Path) -> Path | None:
    """Return the file that a tokenizer is read from, or None."""
    if path.is_dir():
        found = [path / FILE, *sorted(path.glob("*.gguf"))]
        return next((file for file in found if file.is_file()), None)
    return path if path.is_file() and path.suffix in (".json", ".gguf") else None
