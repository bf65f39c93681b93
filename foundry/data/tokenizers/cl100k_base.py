"""GPT-4's tokenizer, of 100,277."""

from __future__ import annotations

from collections.abc import Sequence

from foundry.data.published import published
from foundry.data.reading import Corpus
from foundry.data.tokenizer import Tokenizer

FILES = ("encodings/cl100k_base.tiktoken",)


def build(corpora: Sequence[Corpus], vocab_size: int) -> Tokenizer:
    """Load the published tokenizer; nothing of it depends on the texts.

    Raises:
        UserError: its file is not here and cannot be had.
    """
    return published("cl100k_base", FILES)
