"""What an experiment says about low-rank adapters. Free of torch: the driver reads experiments too."""

from __future__ import annotations

import re
from dataclasses import dataclass

from foundry.errors import UserError

ALL_LINEAR = "all-linear"


@dataclass(frozen=True, kw_only=True)
class Lora:
    """Train a product of two thin matrices beside each chosen linear layer, and nothing else of the model.

    Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models" (2021). Where neither targets nor a
    pattern is given, the layers that make queries and values are adapted, or all of them where none has a
    usual name.
    """

    rank: int = 16
    alpha: float = 32.0  # the product counts alpha / rank times
    dropout: float = 0.0  # of what goes into the product, in training
    targets: tuple[str, ...] = ()  # names of layers, such as q_proj or layers.0.attn.q_proj, or all-linear
    pattern: str | None = None  # instead of targets: a regular expression for the whole path of a layer
    rslora: bool = False  # alpha / sqrt(rank) instead: Kalajdzievski, "A Rank Stabilization Scaling" (2023)
    dora: bool = False  # train the length of each row apart: Liu et al., "DoRA" (2024)

    def __post_init__(self) -> None:
        for good, sentence in (
            (self.rank >= 1, "lora.rank must be at least 1"),
            (self.alpha > 0, "lora.alpha must be above 0"),
            (0 <= self.dropout < 1, "lora.dropout must lie in [0, 1)"),
            (not (self.targets and self.pattern), "lora has both targets and a pattern: give one of them"),
            (
                ALL_LINEAR not in self.targets or len(self.targets) == 1,
                f"lora.targets: {ALL_LINEAR} stands alone",
            ),
        ):
            if not good:
                raise UserError(sentence)
        try:
            re.compile(self.pattern or "")
        except re.error as error:
            raise UserError(f"lora.pattern is no regular expression: {error}") from None

    @property
    def scale(self) -> float:
        """How many times the product counts."""
        return self.alpha / (self.rank**0.5 if self.rslora else self.rank)
