"""The tokenizer of a pretrained model."""

from __future__ import annotations

import functools
import hashlib
import json
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from foundry.data.byte_pairs import last_cut
from foundry.data.pretrained import merging, patterns
from foundry.data.pretrained.definition import Definition
from foundry.data.pretrained.tokenizer_json import FILE

if TYPE_CHECKING:
    import tiktoken

KIND = "pretrained"


@dataclass(frozen=True, eq=False)
class Pretrained:
    """Gives the ids that a model was trained with; encodes by tiktoken."""

    definition: Definition = field(repr=False)

    @functools.cached_property
    def _ranked(self) -> merging.Ranked:
        return merging.ranked(self.definition)

    @functools.cached_property
    def _encoding(self) -> tiktoken.Encoding:
        import tiktoken  # not before it is needed

        pattern, ranks = self.definition.pattern, dict(self._ranked.ranks)
        return tiktoken.Encoding("pretrained", pat_str=pattern, mergeable_ranks=ranks, special_tokens={})

    @property
    def vocab_size(self) -> int:
        """One more than the largest id, special tokens included."""
        return len(self.spelled)

    @property
    def special_tokens(self) -> Mapping[str, int]:
        """The tokens that no text is turned into."""
        return self.definition.added

    @property
    def end(self) -> int:
        """The token after a text."""
        return self.definition.end

    @functools.cached_property
    def sha256(self) -> str:
        """The hash of all that ids depend on, the same whichever file it was read from."""
        found, own = self._ranked, self.definition
        spelled = [(token.hex(), int(found.ids[rank])) for token, rank in _by_rank(found.ranks)]
        body = [own.pattern, own.nfc, own.end, sorted(own.added.items()), spelled]
        return hashlib.sha256(json.dumps(body).encode("utf-8")).hexdigest()

    def encode(self, text: str) -> NDArray[np.uint32]:
        """Turn text into ids, (tokens,); what looks like a special token is text like any other.

        Bytes that the model has no token for, control characters for the most part, are left out.
        """
        if self.definition.nfc:
            text = unicodedata.normalize("NFC", text)
        found = self._ranked.ids[self._encoding.encode_to_numpy(text, disallowed_special=())]
        return found[found >= 0].astype(np.uint32)

    def decode(self, ids: Iterable[int]) -> str:
        """Turn ids into text, with U+FFFD for bytes that are no UTF-8.

        A model may have more ids than its tokenizer; those stand for nothing.
        """
        known = self.spelled
        return b"".join(known[i] for i in ids if i < len(known)).decode("utf-8", errors="replace")

    @functools.cached_property
    def spelled(self) -> list[bytes]:
        """What each id is written as, special tokens by their names."""
        own = self.definition
        spelled = [b""] * (max(*own.vocab.values(), *own.added.values()) + 1)
        for token, rank in self._ranked.ranks.items():
            if (number := int(self._ranked.ids[rank])) >= 0:
                spelled[number] = token
        for name, number in own.added.items():
            spelled[number] = name.encode("utf-8")
        return spelled

    def spelling(self) -> list[bytes]:
        """Return the bytes of each id; nothing for special tokens, but a newline for the end of a text."""
        spelled = list(self.spelled)
        for number in self.definition.added.values():
            spelled[number] = b""
        spelled[self.end] = b"\n"
        return spelled

    def cut(self, text: str) -> int:
        """Return the last place between two words; 0 where the pattern is none that is known."""
        return last_cut(text) if self.definition.pattern in patterns.KNOWN else 0

    def require(self, alphabet: str, source: str) -> None:
        """Accept every text, see `encode`."""

    def save(self, folder: Path) -> dict[str, object]:
        """Write tokenizer.json, for ourselves and for Hugging Face."""
        text = json.dumps(self.definition.as_json(), ensure_ascii=False) + "\n"
        (folder / FILE).write_text(text, "utf-8")
        return {"kind": KIND, "file_sha256": hashlib.sha256(text.encode("utf-8")).hexdigest()}


def _by_rank(ranks: Mapping[bytes, int]) -> list[tuple[bytes, int]]:
    return sorted(ranks.items(), key=lambda item: item[1])
