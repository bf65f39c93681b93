"""GPT-2's tokenizer, of 50,257."""

from __future__ import annotations

from collections.abc import Sequence

from foundry.data.published import published
from foundry.data.reading import Corpus
from foundry.data.tokenizer import Tokenizer

FILES = (
    "gpt-2/encodings/main/vocab.bpe",
    "gpt-2/encodings/main/encoder.json",
)


def build(corpora: Sequence[Corpus], vocab_size: int) -> Tokenizer:
    """Load the published tokenizer; nothing of it depends on the texts.

    Raises:
        UserError: its file is not here and cannot be had.
    """
    return published("gpt2", FILES)
