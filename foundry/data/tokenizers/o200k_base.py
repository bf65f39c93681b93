"""GPT-4o's tokenizer, of 200,019."""

from __future__ import annotations

from collections.abc import Sequence

from foundry.data.published import published
from foundry.data.reading import Corpus
from foundry.data.tokenizer import Tokenizer

FILES = ("encodings/o200k_base.tiktoken",)


def build(corpora: Sequence[Corpus], vocab_size: int) -> Tokenizer:
    """Load the published tokenizer; nothing of it depends on the texts.

    Raises:
        UserError: its file is not here and cannot be had.
    """
    return published("o200k_base", FILES)
