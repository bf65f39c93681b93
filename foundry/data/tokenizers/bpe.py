"""Byte pairs trained on the training split."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from foundry.data.byte_pairs import END_OF_TEXT, BytePairs, last_cut
from foundry.data.reading import Corpus, rejoined
from foundry.data.tokenizer import Tokenizer

# Words as GPT-4 cuts them: contractions, letters with what leads them, up to three digits, marks with the
# newlines behind them, and white space. Possessive where a match can only be longest, which is faster.
PATTERN = "|".join(
    (
        r"'(?i:[sdmt]|ll|ve|re)",
        r"[^\r\n\p{L}\p{N}]?+\p{L}++",
        r"\p{N}{1,3}+",
        r" ?[^\s\p{L}\p{N}]++[\r\n]*+",
        r"\s*[\r\n]",
        r"\s+(?!\S)",
        r"\s",
    )
)


def build(corpora: Sequence[Corpus], vocab_size: int) -> Tokenizer:
    """Train until there are `vocab_size` tokens with END_OF_TEXT, or no pair is left to join.

    The same text gives the same ranks, whatever the number of threads.
    """
    import rustbpe  # type: ignore[import-untyped]

    trainer = rustbpe.Tokenizer()
    trainer.train_from_iterator(_chunks(corpora), vocab_size - 1, buffer_size=4, pattern=PATTERN)
    ranks = {bytes(token): rank for token, rank in trainer.get_mergeable_ranks()}
    return BytePairs(PATTERN, ranks, {END_OF_TEXT: len(ranks)})


def _chunks(corpora: Sequence[Corpus]) -> Iterator[str]:
    for corpus in corpora:
        for text, _ in rejoined(corpus.training(), last_cut):
            yield text
