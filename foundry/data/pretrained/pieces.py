"""What a tokenizer in the manner of SentencePiece is determined by.

Kudo and Richardson, "SentencePiece: A simple and language independent subword tokenizer and detokenizer"
(2018): a space is a letter like any other, written U+2581, and no text is cut into words before pairs of
letters are joined. A letter that no token spells falls back on the tokens of its bytes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from foundry.data.pretrained.template import putting

SPACE = "\u2581"
NEVER, FIRST, ALWAYS, STRETCHES = "never", "first", "always", "stretches"
_BYTE = re.compile(r"<0x([0-9A-F]{2})>")


@dataclass(frozen=True, kw_only=True)
class Taken:
    """An added token that is not special: it is taken out of a text before pairs are joined."""

    content: str
    number: int
    normalized: bool  # whether it is looked for where spaces are written as letters
    single_word: bool = False
    lstrip: bool = False
    rstrip: bool = False

    @property
    def across(self) -> bool:
        """Whether it may reach from one word into the next, or changes what is around it."""
        plain = not (self.single_word or self.lstrip or self.rstrip)
        return not plain or re.search(f"[^ {SPACE}][ {SPACE}]", self.content) is not None


@dataclass(frozen=True, kw_only=True)
class Pieces:
    """Byte pairs over characters.

    Of the ways to put a space before a text, STRETCHES does so at the start and after every token that is
    taken out; ALWAYS does too, but not where there is a space; FIRST is ALWAYS at the start alone.
    """

    vocab: Mapping[str, int]  # tokens that text is made of, those of bytes as <0x00>; ids
    merges: Sequence[tuple[str, str]]  # what is joined, the first before the second
    added: Mapping[str, int]  # special tokens, never made of text
    taken: Sequence[Taken] = ()
    prefix: str = NEVER  # a space before a text: NEVER, FIRST, ALWAYS or STRETCHES
    words: bool = False  # whether nothing is joined across the start of a word
    byte_fallback: bool = True
    whole_words: bool = False  # whether a word that is a token is taken as one, whatever the merges
    unknown: str | None = None  # the special token for what has no other
    fuse_unknown: bool = True  # whether one stands for several in a row
    start: tuple[int, ...] = ()  # special tokens before a text
    end: int  # the special token after it

    @property
    def divisible(self) -> bool:
        """Whether the tokens on either side of the first of some spaces do not depend on the other side."""
        across = any(re.search(f"[^{SPACE}]{SPACE}", token) for token in self.vocab)
        return (
            SPACE in self.vocab
            and not self.whole_words
            and (self.words or not across)
            and not any(token.across for token in self.taken)
        )

    def spelled(self, token: str) -> bytes:
        """Return the bytes that a token of text stands for."""
        if self.byte_fallback and (single := _BYTE.fullmatch(token)):
            return bytes.fromhex(single[1])
        return token.replace(SPACE, " ").encode("utf-8")

    def as_json(self) -> dict[str, Any]:
        """Return the content of a tokenizer.json."""
        plain = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
        added = [
            {"id": number, "content": token, **plain, "special": True} for token, number in self.added.items()
        ]
        added += [
            {
                "id": token.number,
                "content": token.content,
                "single_word": token.single_word,
                "lstrip": token.lstrip,
                "rstrip": token.rstrip,
                "normalized": token.normalized,
                "special": False,
            }
            for token in self.taken
        ]
        named = {**self.vocab, **self.added, **{token.content: token.number for token in self.taken}}
        return {
            "version": "1.0",
            "truncation": None,
            "padding": None,
            "added_tokens": sorted(added, key=lambda token: token["id"]),
            **self._steps(),
            "post_processor": putting(self.start, {number: token for token, number in named.items()}),
            "model": {
                "type": "BPE",
                "dropout": None,
                "unk_token": self.unknown,
                "continuing_subword_prefix": None,
                "end_of_word_suffix": None,
                "fuse_unk": self.fuse_unknown,
                "byte_fallback": self.byte_fallback,
                "ignore_merges": self.whole_words,
                "vocab": dict(sorted(named.items(), key=lambda item: item[1])),
                "merges": [list(pair) for pair in self.merges],
            },
        }

    def _steps(self) -> dict[str, Any]:
        """Return what is done to a text before and after."""
        written = {"type": "Replace", "pattern": {"String": " "}, "content": SPACE}
        before: dict[str, Any] | None = written
        if self.prefix == STRETCHES:
            before = {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": SPACE}, written]}
        cut = None
        if self.words or self.prefix in (FIRST, ALWAYS):
            before, cut = None, {"type": "Metaspace", "replacement": SPACE, "split": self.words}
            cut["prepend_scheme"] = self.prefix
        after: list[dict[str, Any]] = [
            {"type": "Replace", "pattern": {"String": SPACE}, "content": " "},
            {"type": "ByteFallback"},
            {"type": "Fuse"},
        ]
        if self.prefix != NEVER:
            after.append({"type": "Strip", "content": " ", "start": 1, "stop": 0})
        return {
            "normalizer": before,
            "pre_tokenizer": cut,
            "decoder": {"type": "Sequence", "decoders": after},
        }
