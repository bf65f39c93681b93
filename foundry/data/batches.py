"""Training batches and evaluation windows. A batch depends on (seed, step) alone: resuming needs no state.

Tokens may lie in a file larger than memory: only the blocks that are asked for are read.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from foundry.data.curriculum import CELL, Curriculum
from foundry.keyed import seed_for

Ids = Tensor | NDArray[np.unsignedinteger]  # (tokens,)
Batch = tuple[Tensor, Tensor]  # inputs and targets, each (batch, block), int64


class Batches(Protocol):
    """What training draws its batches from; a batch depends on the arguments alone."""

    def draw(self, *, seed: int, step: int, total: int, batch_size: int, block_size: int) -> Batch:
        """Return the inputs and targets of one update out of `total`, batch_size·block_size of each.

        They come as batch_size rows, or as a multiple of that where a curriculum makes rows shorter.
        """
        ...


@dataclass(frozen=True)
class Blocks:
    """Random blocks of one text, as its curriculum allows them."""

    tokens: Ids
    curriculum: Curriculum = field(default_factory=Curriculum)

    def draw(self, *, seed: int, step: int, total: int, batch_size: int, block_size: int) -> Batch:
        """Return inputs and targets, each (batch_size·k, block_size/k), where the curriculum cuts in k."""
        progress = step / total
        k = self.curriculum.divide(progress, block_size)
        cells = self.curriculum.cells(progress)
        return draw(
            self.tokens,
            seed=seed,
            step=step,
            batch_size=batch_size * k,
            block_size=block_size // k,
            cells=cells,
        )


@dataclass(frozen=True)
class Mixture:
    """Blocks of several texts, each row from one that is chosen by weight.

    Small changes of the weights change the choice for few rows; a text more leaves the blocks of the others.
    """

    names: tuple[str, ...]
    weights: tuple[float, ...]
    sources: tuple[Batches, ...]

    def draw(self, *, seed: int, step: int, total: int, batch_size: int, block_size: int) -> Batch:
        """Return inputs and targets, shaped as every source shapes them."""
        drawn = [
            source.draw(
                seed=seed_for("source", name, seed),
                step=step,
                total=total,
                batch_size=batch_size,
                block_size=block_size,
            )
            for name, source in zip(self.names, self.sources, strict=True)
        ]
        rows = len(drawn[0][0])
        generator = torch.Generator().manual_seed(seed_for("mixture", seed, step))
        shares = torch.tensor(self.weights, dtype=torch.float64).cumsum(0) / sum(self.weights)
        chance = torch.rand(rows, generator=generator, dtype=torch.float64)
        chosen = torch.bucketize(chance, shares[:-1], right=True)
        row = torch.arange(rows)
        inputs, targets = (torch.stack(tensors)[chosen, row] for tensors in zip(*drawn, strict=True))
        return inputs, targets


def draw(
    tokens: Ids,
    *,
    seed: int,
    step: int,
    batch_size: int,
    block_size: int,
    cells: NDArray[np.int64] | None = None,
) -> Batch:
    """Cut random blocks from `tokens`, starting in the cells of these numbers, or anywhere.

    Every candidate sees the same blocks at the same seed and step: common random numbers.
    """
    generator = torch.Generator().manual_seed(seed_for("batch", seed, step))
    n_starts = len(tokens) - block_size
    if cells is None:
        starts = torch.randint(n_starts, (batch_size,), generator=generator).numpy()
    else:
        chosen = cells[torch.randint(len(cells), (batch_size,), generator=generator).numpy()]
        within = torch.randint(CELL, (batch_size,), generator=generator).numpy()
        starts = np.minimum(chosen * CELL + within, n_starts - 1)
    places = starts[:, None] + np.arange(block_size + 1)
    rows = _long(tokens[torch.from_numpy(places)] if isinstance(tokens, Tensor) else tokens[places])
    return rows[:, :-1].contiguous(), rows[:, 1:].contiguous()


def windows(tokens: Ids, *, block_size: int, batch_size: int) -> Iterator[Batch]:
    """Walk through all of `tokens` once: inputs and targets, (batch, block_size), the remainder last.

    A tensor gives windows on its own device, an array of numpy's on the CPU.
    Every token but the first is a target exactly once.
    """
    whole = (len(tokens) - 1) // block_size * block_size
    for start in range(0, whole, batch_size * block_size):
        stop = min(start + batch_size * block_size, whole)
        yield _rows(tokens[start : stop + 1], block_size)
    if rest := len(tokens) - 1 - whole:
        yield _rows(tokens[whole:], rest)


def _rows(tokens: Ids, block_size: int) -> Batch:
    """Give every token but the last as input, and every one but the first as target, in rows."""
    ids = _long(tokens)
    return ids[:-1].view(-1, block_size), ids[1:].view(-1, block_size)


def _long(tokens: Ids) -> Tensor:
    return tokens.long() if isinstance(tokens, Tensor) else torch.from_numpy(tokens.astype(np.int64))
