"""Draw from the whole text all the time."""

from __future__ import annotations

from foundry.data.curriculum import Curriculum, Tokens
from foundry.data.tokenizer import Tokenizer


def build(tokens: Tokens, tokenizer: Tokenizer) -> Curriculum:
    """Return what changes nothing."""
    return Curriculum()
