"""Short lines first: the text is ordered by bytes per line; the end of a document ends a line too."""

from __future__ import annotations

import numpy as np

from foundry.data.curriculum import Curriculum, EasiestFirst, Tokens, per_cell
from foundry.data.tokenizer import Tokenizer


def build(tokens: Tokens, tokenizer: Tokenizer) -> Curriculum:
    """Read the text once and order it."""
    spelling = tokenizer.spelling()
    sizes = np.array([len(token) for token in spelling], dtype=np.float64)
    ends = np.array([token.count(b"\n") for token in spelling], dtype=np.float64)
    return EasiestFirst(per_cell(tokens, sizes.__getitem__) / (1 + per_cell(tokens, ends.__getitem__)))
