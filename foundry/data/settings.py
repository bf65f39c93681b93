"""What an experiment says about its data. Free of torch: the driver reads experiments too."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Data:
    """What to train on."""

    dataset: str = "shakespeare_char"  # a shipped data set, or a path to UTF-8 text
    split: str = "standard"  # standard: 80/5/5/10; nanogpt: 90/10, for comparisons
    vocabulary: str | None = None  # whose characters are the vocabulary; by default the data set's own
