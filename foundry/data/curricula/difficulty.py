"""Common words first: the text is ordered by how surprising its tokens are, each by itself.

The surprise of a token is minus the logarithm of its share of the text.
"""

from __future__ import annotations

import numpy as np

from foundry.data.curriculum import CELL, Curriculum, EasiestFirst, Tokens, per_cell
from foundry.data.tokenizer import Tokenizer

_AT_ONCE = 1 << 20  # tokens


def build(tokens: Tokens, tokenizer: Tokenizer) -> Curriculum:
    """Read the text twice, to count and to order."""
    counts = np.zeros(tokenizer.vocab_size)
    for i in range(0, len(tokens), _AT_ONCE):
        counts += np.bincount(tokens[i : i + _AT_ONCE], minlength=len(counts))
    surprise = -np.log(np.maximum(counts, 1) / max(1, len(tokens)))
    return EasiestFirst(per_cell(tokens, surprise.__getitem__) / CELL)
