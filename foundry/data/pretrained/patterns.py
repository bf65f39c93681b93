"""How models cut text into words: the patterns of known tokenizers, in the dialect of tiktoken."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from foundry.errors import UserError, unknown

_SHORTENED = ("'s", "'t", "'re", "'ve", "'m", "'ll", "'d")
GPT2 = "|".join(
    (*_SHORTENED, r" ?\p{L}+", r" ?\p{N}+", r" ?[^\s\p{L}\p{N}]+", r"\s+(?!\S)", r"\s+"),
)
# GPT-2's pattern on what lies between digits: each is a word, and ends the text before it
DIGITS = "|".join(
    (r"\p{N}", *_SHORTENED, r" ?\p{L}+", r" ?[^\s\p{L}\p{N}]+", r"\s+(?![^\s\p{N}])", r"\s+"),
)


def _later(number: str) -> str:
    return "|".join(
        (
            f"(?i:{'|'.join(_SHORTENED)})",
            r"[^\r\n\p{L}\p{N}]?\p{L}+",
            number,
            r" ?[^\s\p{L}\p{N}]+[\r\n]*",
            r"\s*[\r\n]+",
            r"\s+(?!\S)",
            r"\s+",
        )
    )


LLAMA3 = _later(r"\p{N}{1,3}")
QWEN2 = _later(r"\p{N}")
KNOWN = (GPT2, DIGITS, LLAMA3, QWEN2)


@dataclass(frozen=True, kw_only=True)
class Habits:
    """What a GGUF file says by one name."""

    pattern: str
    nfc: bool = False
    whole_words: bool = False
    starts: bool = False  # whether a token comes before a text, where the file does not say


_NAMED: Mapping[str, Habits] = {
    "gpt-2": Habits(pattern=GPT2),
    "smollm": Habits(pattern=DIGITS),
    "llama-bpe": Habits(pattern=LLAMA3, whole_words=True, starts=True),
    "qwen2": Habits(pattern=QWEN2, nfc=True),
}


def named(name: str) -> Habits:
    """Return what a GGUF file means by `tokenizer.ggml.pre`.

    Raises:
        UserError: it is not known.
    """
    if name not in _NAMED:
        raise unknown("way to cut words in a GGUF file", name, _NAMED)
    return _NAMED[name]


def of_steps(step: Mapping[str, Any] | None) -> str:
    """Return the pattern that does what the `pre_tokenizer` of a tokenizer.json does.

    Raises:
        UserError: no single pattern here does.
    """
    steps = [step or {}] if (step or {}).get("type") != "Sequence" else list((step or {})["pretokenizers"])
    *before, last = steps or [{}]
    if last.get("type") != "ByteLevel" or last.get("add_prefix_space"):
        raise UserError(
            f"it cuts words by {_words(steps)}, and only byte-level ones without a prefix are known"
        )
    by_regex = last.get("use_regex", True)
    if not before and by_regex:
        return GPT2
    if len(before) == 1 and by_regex and before[0].get("type") == "Digits" and before[0]["individual_digits"]:
        return DIGITS
    if len(before) == 1 and not by_regex and _is_plain_split(before[0]):
        pattern: str = before[0]["pattern"]["Regex"]
        return pattern
    raise UserError(f"it cuts words by {_words(steps)}, which is not known here")


def _is_plain_split(step: Mapping[str, Any]) -> bool:
    isolated = step.get("behavior") == "Isolated" and not step.get("invert")
    return step.get("type") == "Split" and isolated and "Regex" in step.get("pattern", {})


def _words(steps: list[Mapping[str, Any]]) -> str:
    return ", ".join(str(step.get("type")) for step in steps)
