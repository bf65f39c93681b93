"""Training batches and evaluation windows. A batch depends on (seed, step) alone: resuming needs no state."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from foundry.keyed import seed_for


def draw(tokens: Tensor, *, seed: int, step: int, batch_size: int, block_size: int) -> tuple[Tensor, Tensor]:
    """Cut random blocks from `tokens` (n,): inputs and targets, each (batch_size, block_size), int64.

    Every candidate sees the same blocks at the same seed and step: common random numbers.
    """
    generator = torch.Generator().manual_seed(seed_for("batch", seed, step))
    starts = torch.randint(len(tokens) - block_size, (batch_size,), generator=generator)
    blocks = tokens.unfold(0, block_size + 1, 1)[starts].long()
    return blocks[:, :-1].contiguous(), blocks[:, 1:].contiguous()


class Batches(Protocol):
    """What training draws its batches from; a batch depends on the arguments alone."""

    def draw(
        self, *, seed: int, step: int, total: int, batch_size: int, block_size: int
    ) -> tuple[Tensor, Tensor]:
        """Return inputs and targets, each (batch_size, block_size), int64, of one update out of `total`."""
        ...


@dataclass(frozen=True)
class Blocks:
    """Random blocks of one text, the same all the way through the training."""

    tokens: Tensor  # (n,)

    @classmethod
    def of(cls, tokens: NDArray[np.uint32]) -> Blocks:
        """Draw from token ids (n,)."""
        return cls(torch.from_numpy(tokens.astype("int32")))

    def draw(
        self, *, seed: int, step: int, total: int, batch_size: int, block_size: int
    ) -> tuple[Tensor, Tensor]:
        """Return inputs and targets, each (batch_size, block_size), int64."""
        return draw(self.tokens, seed=seed, step=step, batch_size=batch_size, block_size=block_size)


def windows(tokens: Tensor, *, block_size: int, batch_size: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Walk through all of `tokens` (n,) once: inputs and targets, (batch, block_size), the remainder last.

    Every token but the first is a target exactly once.
    """
    n = (len(tokens) - 1) // block_size
    inputs = tokens[: n * block_size].view(n, block_size).long()
    targets = tokens[1 : n * block_size + 1].view(n, block_size).long()
    for i in range(0, n, batch_size):
        yield inputs[i : i + batch_size], targets[i : i + batch_size]
    if (len(tokens) - 1) % block_size:
        rest = tokens[n * block_size :].long()
        yield rest[None, :-1], rest[None, 1:]
