"""Short blocks first: a quarter of the length, then half, then all of it, with as many tokens an update.

Li et al. 2022, "The Stability-Efficiency Dilemma: Investigating Sequence Length Warmup".
"""

from __future__ import annotations

from foundry.data.curriculum import Curriculum, Tokens
from foundry.data.tokenizer import Tokenizer

STAGES = ((0.2, 4), (0.4, 2))  # until this part of training, blocks cut in so many


class Ramp(Curriculum):
    """Cut early blocks, where the block size allows it."""

    def divide(self, progress: float, block_size: int) -> int:
        """Return 4, 2 or 1."""
        wanted = next((number for until, number in STAGES if progress < until), 1)
        while block_size % wanted:
            wanted //= 2
        return wanted


def build(tokens: Tokens, tokenizer: Tokenizer) -> Curriculum:
    """Return the ramp: the same for every text."""
    return Ramp()
