"""What a tokenizer of byte pairs is determined by, as the files of pretrained models say it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from foundry.data.pretrained.template import putting
from foundry.errors import UserError

_ENDS = ("<|endoftext|>", "<|end_of_text|>", "</s>", "<eos>")  # what models end a text with, after all


@dataclass(frozen=True, kw_only=True)
class Definition:
    """Byte pairs in the alphabet of GPT-2, which has a visible character for every byte."""

    vocab: Mapping[str, int]  # tokens that text is made of; ids
    merges: Sequence[tuple[str, str]]  # what is joined, the first before the second
    added: Mapping[str, int]  # special tokens, never made of text
    pattern: str  # cuts text into words
    nfc: bool = False  # whether text is composed first, as Unicode's form C
    whole_words: bool = False  # whether a word that is a token is taken as one, whatever the merges
    unknown: int | None = None  # what stands for a byte that no token spells; without it, it is left out
    start: tuple[int, ...] = ()  # special tokens before a text
    end: int  # the special token after it

    def as_json(self) -> dict[str, Any]:
        """Return the content of a tokenizer.json."""
        special = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
        named = {number: token for token, number in {**self.vocab, **self.added}.items()}
        by_regex = {
            "type": "Split",
            "pattern": {"Regex": self.pattern},
            "behavior": "Isolated",
            "invert": False,
        }
        by_bytes = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
        return {
            "version": "1.0",
            "truncation": None,
            "padding": None,
            "added_tokens": [
                {"id": number, "content": token, **special, "special": True}
                for token, number in sorted(self.added.items(), key=lambda item: item[1])
            ],
            "normalizer": {"type": "NFC"} if self.nfc else None,
            "pre_tokenizer": {"type": "Sequence", "pretokenizers": [by_regex, by_bytes]},
            "post_processor": putting(self.start, named),
            "decoder": by_bytes,
            "model": {
                "type": "BPE",
                "dropout": None,
                "unk_token": None if self.unknown is None else named[self.unknown],
                "continuing_subword_prefix": None,
                "end_of_word_suffix": None,
                "fuse_unk": False,
                "byte_fallback": False,
                "ignore_merges": self.whole_words,
                "vocab": dict(sorted({**self.vocab, **self.added}.items(), key=lambda item: item[1])),
                "merges": [list(pair) for pair in self.merges],
            },
        }


def end_among(added: Mapping[str, int], named: Iterable[str], path: object) -> int:
    """Choose the special token that ends a text: a usual one, or else one that the files name.

    Raises:
        UserError: there is none.
    """
    for token in (*_ENDS, *named):
        if token in added:
            return added[token]
    raise UserError(f"{path}: none of its special tokens ends a text")


def alphabet() -> list[str]:
    """Return the character that stands for each byte: itself where that is visible, else one from 256 on.

    Radford et al., "Language Models are Unsupervised Multitask Learners" (2019), in the code beside it.
    """
    visible = {*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)}
    rest = iter(range(256, 512))
    return [chr(byte) if byte in visible else chr(next(rest)) for byte in range(256)]
