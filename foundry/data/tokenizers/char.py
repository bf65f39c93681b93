"""The characters of a text, sorted."""

from __future__ import annotations

from collections.abc import Sequence

from foundry.data.characters import Characters
from foundry.data.reading import Corpus
from foundry.data.tokenizer import Tokenizer
from foundry.errors import UserError


def build(corpora: Sequence[Corpus], vocab_size: int) -> Tokenizer:
    """Take every character of the whole texts, validation included; their number is what it is.

    Raises:
        UserError: there is none.
    """
    vocabulary = "".join(sorted(set().union(*(corpus.scan.alphabet for corpus in corpora))))
    if not vocabulary:
        raise UserError(f"data {corpora[0].text.name!r}: its vocabulary is empty")
    return Characters(vocabulary)
