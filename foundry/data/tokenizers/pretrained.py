"""The tokenizer of a pretrained model: the file, or the folder of one, that `data.vocabulary` names."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from foundry.data.pretrained.opening import read
from foundry.data.reading import Corpus
from foundry.data.tokenizer import Tokenizer
from foundry.errors import UserError

NAME = "pretrained"


def build(corpora: Sequence[Corpus], vocab_size: int) -> Tokenizer:
    """Read it; nothing of it depends on the texts.

    Raises:
        UserError: none is named, or it cannot be read.
    """
    named = corpora[0].data.vocabulary
    if named is None:
        raise UserError(
            f"data.tokenizer {NAME} needs data.vocabulary: "
            "a tokenizer.json, a tokenizer.model, a .gguf file, or a folder"
        )
    return read(Path(named))
