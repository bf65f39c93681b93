"""Tokenizers of byte pairs that cut text into words first, as GPT-2, Llama 3 and Qwen2 have them."""

from __future__ import annotations

import functools
import hashlib
import json
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from foundry.data.byte_pairs import last_cut
from foundry.data.pretrained import merging, patterns
from foundry.data.pretrained.definition import Definition
from foundry.data.pretrained.tokenizer import Pretrained

if TYPE_CHECKING:
    import tiktoken


@dataclass(frozen=True, eq=False)
class ByteLevel(Pretrained):
    """Encodes by tiktoken."""

    definition: Definition = field(repr=False)

    @functools.cached_property
    def _ranked(self) -> merging.Ranked:
        return merging.ranked(self.definition)

    @functools.cached_property
    def _encoding(self) -> tiktoken.Encoding:
        import tiktoken  # not before it is needed

        pattern, ranks = self.definition.pattern, dict(self._ranked.ranks)
        return tiktoken.Encoding("pretrained", pat_str=pattern, mergeable_ranks=ranks, special_tokens={})

    @functools.cached_property
    def sha256(self) -> str:
        """The hash of all that ids depend on, the same whichever file it was read from."""
        found, own = self._ranked, self.definition
        ordered = sorted(found.ranks.items(), key=lambda item: item[1])
        spelled = [(token.hex(), int(found.ids[rank])) for token, rank in ordered]
        body = [own.pattern, own.nfc, own.end, sorted(own.added.items()), spelled, *own.start]
        return hashlib.sha256(json.dumps(body).encode("utf-8")).hexdigest()

    def encode(self, text: str, *, begins: bool = True) -> NDArray[np.uint32]:
        """Turn text into ids, (tokens,); what looks like a special token is text like any other.

        Bytes that the model has no token for, control characters for the most part, are left out.
        """
        if self.definition.nfc:
            text = unicodedata.normalize("NFC", text)
        found = self._ranked.ids[self._encoding.encode_to_numpy(text, disallowed_special=())]
        return found[found >= 0].astype(np.uint32)

    def cut(self, text: str) -> int:
        """Return the last place between two words; 0 where the pattern is none that is known."""
        return last_cut(text) if self.definition.pattern in patterns.KNOWN else 0

    def spelled_text(self) -> Iterable[tuple[int, bytes]]:
        """List the ids that text is made of, with their bytes."""
        ids = ((int(self._ranked.ids[rank]), token) for token, rank in self._ranked.ranks.items())
        return ((number, token) for number, token in ids if number >= 0)
