"""Byte pairs as tokens: ranks, and tiktoken to encode with them."""

from __future__ import annotations

import base64
import functools
import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import tiktoken

KIND = "byte_pairs"
RANKS = "ranks.tiktoken"
END_OF_TEXT = "<|endoftext|>"

# Where no token of any pattern here reaches across, and none before depends on what follows: no pattern looks
# back, whitespace inside a token stands at its front or ends in newlines, and only whitespace looks ahead.
_CUT = re.compile(r".*(?:(?<=\S)(?= )|(?<=[A-Za-z0-9])(?=[\r\n])|(?<=\S\n)(?=[^\s/]))", re.DOTALL)


@dataclass(frozen=True, eq=False)
class BytePairs:
    """A tokenizer of byte pairs.

    Text is first cut into words by `pattern`, in the dialect of tiktoken; in each the pair of lowest rank is
    joined, again and again. Sennrich et al. 2016; Radford et al. 2019.
    """

    pattern: str
    ranks: Mapping[bytes, int] = field(repr=False)
    special_tokens: Mapping[str, int]  # END_OF_TEXT among them; never made from text

    @functools.cached_property
    def _encoding(self) -> tiktoken.Encoding:
        import tiktoken  # not before it is needed: experiments by characters start faster

        return tiktoken.Encoding(
            "foundry",
            pat_str=self.pattern,
            mergeable_ranks=dict(self.ranks),
            special_tokens=dict(self.special_tokens),
        )

    @property
    def vocab_size(self) -> int:
        """One more than the largest id, special tokens included."""
        return max(*self.ranks.values(), *self.special_tokens.values()) + 1

    @property
    def start(self) -> tuple[int, ...]:
        """Nothing."""
        return ()

    @property
    def end(self) -> int:
        """The token for the end of a text."""
        return self.special_tokens[END_OF_TEXT]

    @functools.cached_property
    def sha256(self) -> str:
        """The hash of ranks, pattern and special tokens."""
        special = repr(sorted(self.special_tokens.items()))
        return hashlib.sha256(f"{self.pattern}\n{special}\n{format_ranks(self.ranks)}".encode()).hexdigest()

    def encode(self, text: str, *, begins: bool = True) -> NDArray[np.uint32]:
        """Turn text into ids, (tokens,); what looks like a special token is text like any other."""
        ids: NDArray[np.uint32] = self._encoding.encode_to_numpy(text, disallowed_special=())
        return ids

    def decode(self, ids: Iterable[int]) -> str:
        """Turn ids into text, with U+FFFD for bytes that are no UTF-8."""
        return self._encoding.decode(list(ids))

    def spelling(self) -> list[bytes]:
        """Return the bytes of each id; nothing for ids that are never used."""
        spelled = [b""] * self.vocab_size
        for token, rank in self.ranks.items():
            spelled[rank] = token
        spelled[self.end] = b"\n"
        return spelled

    def cut(self, text: str) -> int:
        """Return the last place between two words, see `last_cut`."""
        return last_cut(text)

    def require(self, alphabet: str, source: str) -> None:
        """Accept every text: all bytes have a token."""

    def save(self, folder: Path) -> dict[str, object]:
        """Write the ranks as `ranks.tiktoken`."""
        text = format_ranks(self.ranks)
        (folder / RANKS).write_text(text, "ascii")
        return {
            "kind": KIND,
            "pattern": self.pattern,
            "special_tokens": dict(self.special_tokens),
            "ranks_sha256": hashlib.sha256(text.encode("ascii")).hexdigest(),
        }


def last_cut(text: str) -> int:
    """Return the last place where `text` can be cut without changing its tokens in any pattern used here.

    What follows `text` does not matter. 0 means that there is none.
    """
    found = _CUT.match(text)
    return found.end() if found else 0


def format_ranks(ranks: Mapping[bytes, int]) -> str:
    """Write ranks as tiktoken's own files do: a token in base64 and its rank on each line, by rank."""
    ordered = sorted(ranks.items(), key=lambda item: item[1])
    return "".join(f"{base64.b64encode(token).decode()} {rank}\n" for token, rank in ordered)


def parse_ranks(text: str) -> dict[bytes, int]:
    """Read what `format_ranks` wrote.

    Raises:
        ValueError: it is damaged.
    """
    pairs = (line.split() for line in text.splitlines())
    return {base64.b64decode(token, validate=True): int(rank) for token, rank in pairs}
