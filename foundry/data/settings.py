"""What an experiment says about its data. Free of torch: the driver reads experiments too."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from foundry.data.conversations.settings import Conversations
from foundry.data.selection import DEDUPES, parse_filter
from foundry.data.splits import SCHEMES
from foundry.errors import UserError, unknown
from foundry.registry import module_names

BYTES = 256  # tokens that byte pairs start from

DATASET = "shakespeare_char"


@dataclass(frozen=True, kw_only=True)
class Data:
    """What to train on.

    What `foundry data prepare` made has its own split, tokenizer, filters and dedupe: an experiment may
    repeat them, but not ask for others.
    """

    dataset: str = DATASET  # shipped, or the path of a text, a .jsonl, a folder of texts or of prepared data
    sources: Mapping[str, float] = field(default_factory=dict, hash=False)  # several instead, with weights
    split: str = "standard"  # standard: 80/5/5/10; nanogpt: 90/10, for comparisons
    tokenizer: str | None = None  # a module of foundry/data/tokenizers; by default char
    vocab_size: int | None = None  # of tokenizer bpe, the end of a text included; by default 2048
    vocabulary: str | None = None  # the text, prepared data or pretrained tokenizer whose vocabulary is used
    loss_per: str | None = None  # in whose tokens trials count the loss: char, bpe-2048 …; by default its own
    filters: tuple[str, ...] = ()  # of training text, each NAME=VALUE with a module of foundry/data/filters
    dedupe: str = "none"  # of training text: a module of foundry/data/dedupes
    curriculum: str = "none"  # a module of foundry/data/curricula
    conversations: Conversations | None = None  # the data set is a file of conversations

    def __post_init__(self) -> None:
        if not self.dataset.strip():
            raise UserError("data.dataset is empty: name a data set, or the path of a text")
        if self.sources:
            if self.dataset != DATASET:
                raise UserError("data has both dataset and sources: name one of them")
            weights = {name: _weight(name, self.sources[name]) for name in sorted(self.sources, key=str)}
            object.__setattr__(self, "sources", weights)
        if self.split not in SCHEMES:
            raise unknown("split", self.split, SCHEMES)
        for kind, name, folder in (
            ("tokenizer", self.tokenizer or "char", "foundry/data/tokenizers"),
            ("dedupe", self.dedupe, DEDUPES),
            ("curriculum", self.curriculum, "foundry/data/curricula"),
        ):
            if name not in (names := module_names(folder)):
                raise unknown(kind, name, names)
        if self.vocab_size is not None and self.tokenizer != "bpe":
            raise UserError(
                "data.vocab_size is for data.tokenizer bpe; other tokenizers have a size of their own"
            )
        if self.vocab_size is not None and self.vocab_size <= BYTES:
            raise UserError(f"data.vocab_size must be above {BYTES}, the number of bytes")
        for text in self.filters:
            parse_filter(text)
        if self.loss_per is not None:
            self._check_unit(self.loss_per)

    @property
    def names(self) -> Mapping[str, float]:
        """The texts to train on, with weights."""
        return self.sources or {self.dataset: 1.0}

    @property
    def unit(self) -> tuple[str | None, int | None]:
        """Name and size of the tokenizer in whose tokens trials count the loss."""
        if self.loss_per is None:
            return self.tokenizer, self.vocab_size
        name, _, size = self.loss_per.partition("-")
        return name, int(size) if size else None

    def _check_unit(self, text: str) -> None:
        for key in ("vocabulary", "conversations"):
            if getattr(self, key) is not None:
                raise UserError(f"data.loss_per and data.{key} do not go together")
        if not re.fullmatch(r"\w+(-[0-9]{1,9})?", text, re.ASCII):
            raise UserError(f"data.loss_per must be a tokenizer, such as char or bpe-2048, not {text!r}")
        name, size = self.unit
        try:
            Data(tokenizer=name, vocab_size=size)
        except UserError as error:
            raise UserError(f"data.loss_per: {error}") from None


def _weight(name: object, weight: object) -> float:
    good = isinstance(weight, int | float) and not isinstance(weight, bool) and 0 < weight < math.inf
    if not (isinstance(name, str) and good):
        raise UserError(f"data.sources: the weight of {name!r} must be a number above 0, not {weight!r}")
    assert isinstance(weight, int | float)
    return float(weight)
