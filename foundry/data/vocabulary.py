"""Which tokenizer the texts of an experiment share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from foundry.data.manifest import Prepared, open_prepared
from foundry.data.reading import Corpus
from foundry.data.settings import Data
from foundry.data.texts import is_prepared
from foundry.data.tokenizer import Tokenizer
from foundry.data.tokenizers import pretrained
from foundry.errors import UserError
from foundry.registry import load_part

VOCAB_SIZE = 2048  # of tokenizers that can have any


def tokenizer_for(data: Data, corpora: Sequence[Corpus]) -> tuple[str, Tokenizer]:
    """Make the tokenizer that `data` asks for, from its own texts or those that `data.vocabulary` names.

    Returns its name, a module of foundry/data/tokenizers, and the tokenizer.

    Raises:
        UserError: it cannot be made, or cannot spell a text.
    """
    if data.vocabulary is not None and is_prepared(data.vocabulary):
        prepared = open_prepared(data.vocabulary)
        prepared.require(Data(tokenizer=data.tokenizer, vocab_size=data.vocab_size), data.vocabulary)
        name, tokenizer = prepared.manifest.tokenizer_name, prepared.tokenizer
    else:
        name = data.tokenizer or "char"
        own = data.vocabulary is None or name == pretrained.NAME
        made_from = corpora if own else [Corpus.of(str(data.vocabulary), data)]
        part = load_part("foundry/data/tokenizers", "tokenizer", name)
        tokenizer = part.build(made_from, data.vocab_size or VOCAB_SIZE)
    for corpus in corpora:
        tokenizer.require(corpus.scan.alphabet, f"data {corpus.text.name!r}")
    return name, tokenizer


def shared_tokenizer(data: Data, prepared: Mapping[str, Prepared], corpora: Sequence[Corpus]) -> Tokenizer:
    """Return the tokenizer of prepared data, which other texts take too, or make one for the texts.

    Raises:
        UserError: tokenizers differ, or the one cannot spell a text.
    """
    if not prepared:
        return tokenizer_for(data, corpora)[1]
    first, tokenizer = next((name, opened.tokenizer) for name, opened in prepared.items())
    if data.vocabulary not in (None, *prepared):
        raise UserError(f"data {first!r} was prepared with its own vocabulary: leave out data.vocabulary")
    for name, opened in prepared.items():
        opened.require(data, name)
        if opened.tokenizer.sha256 != tokenizer.sha256:
            raise UserError(
                f"data {first!r} and {name!r} have different tokenizers: prepare one with --vocabulary and "
                "the folder of the other"
            )
    for corpus in corpora:
        tokenizer.require(corpus.scan.alphabet, f"data {corpus.text.name!r}")
    return tokenizer
