"""Tokenizers in the manner of SentencePiece, as Llama 2, Mistral and Gemma have them."""

from __future__ import annotations

import functools
import hashlib
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from foundry.data.pretrained.pieces import ALWAYS, NEVER, SPACE, STRETCHES, Pieces
from foundry.data.pretrained.tokenizer import Pretrained
from foundry.errors import UserError

if TYPE_CHECKING:
    import tokenizers

_AT_ONCE = 1 << 16  # characters: what encodes them takes some hundred bytes for each
_LAST_WORD = re.compile(f".*[^ {SPACE}](?= )", re.DOTALL)


@dataclass(frozen=True, eq=False)
class SentencePieces(Pretrained):
    """Encodes by Hugging Face's package `tokenizers`."""

    definition: Pieces = field(repr=False)

    @functools.cached_property
    def sha256(self) -> str:
        """The hash of all that ids depend on, the same whichever file it was read from."""
        body = [self.definition.as_json(), self.definition.end]
        return hashlib.sha256(json.dumps(body, sort_keys=True).encode("utf-8")).hexdigest()

    def encode(self, text: str, *, begins: bool = True) -> NDArray[np.uint32]:
        """Turn text into ids, (tokens,); what looks like a special token is text like any other.

        Raises:
            UserError: the package `tokenizers` is not installed.
        """
        if not begins and self.definition.prefix != NEVER:
            return self._going_on.encode(text)
        parts = self._parts(text) if self._divisible else [text]
        found = [self._encoding.encode(part, add_special_tokens=False).ids for part in parts]
        return np.concatenate([np.array(ids, np.uint32) for ids in found])

    def decode(self, ids: Iterable[int]) -> str:
        """Turn ids into text without the space that was put before it; otherwise as ever."""
        text = super().decode(ids)
        return text if self.definition.prefix == NEVER else text.removeprefix(" ")

    def cut(self, text: str) -> int:
        """Return the last place before a space; 0 where a cut might change tokens."""
        if not self._divisible or (self.definition.taken and self.definition.prefix in (ALWAYS, STRETCHES)):
            return 0
        found = _LAST_WORD.match(text)
        return found.end() if found else 0

    def spelled_text(self) -> Iterable[tuple[int, bytes]]:
        """List the ids that text is made of, with their bytes."""
        own = self.definition
        yield from ((number, own.spelled(token)) for token, number in own.vocab.items())
        yield from ((token.number, own.spelled(token.content)) for token in own.taken)

    def _parts(self, text: str) -> Iterator[str]:
        """Cut before the space of a word, which is left out where one would come before any text."""
        start, again = 0, self.definition.prefix == STRETCHES
        while found := self._word.search(text, start + _AT_ONCE):
            yield text[start : found.start()]
            start = found.start() + again
        yield text[start:]

    @functools.cached_property
    def _word(self) -> re.Pattern[str]:
        """Find a space before what is no token to be taken out."""
        taken = "".join(re.escape(token.content[0]) for token in self.definition.taken)
        return re.compile(f"(?<=[^ {SPACE}])(?= [^ {SPACE}{taken}])")

    @functools.cached_property
    def _going_on(self) -> SentencePieces:
        """What encodes that which follows other text."""
        return SentencePieces(replace(self.definition, prefix=NEVER))

    @functools.cached_property
    def _divisible(self) -> bool:
        return self.definition.divisible

    @functools.cached_property
    def _encoding(self) -> tokenizers.Tokenizer:
        return _built(self.definition)


def _built(definition: Pieces) -> tokenizers.Tokenizer:
    try:
        import tokenizers
    except ImportError:
        raise UserError(
            "a tokenizer in the manner of SentencePiece needs the package tokenizers: "
            "pip install -e '.[sentencepiece]'"
        ) from None
    try:
        made = tokenizers.Tokenizer.from_str(json.dumps(definition.as_json()))
    except Exception as error:  # they have no other
        raise UserError(f"the tokenizer is damaged: {error}") from None
    made.encode_special_tokens = True  # what looks like one is text
    return made
