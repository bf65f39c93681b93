"""Batches of conversations: one in a row, or several with two ends of a text between them.

Every epoch has each conversation once, in an order of its own; a batch depends on (seed, step) alone, as all
batches do. Targets are -100 where nothing is learned.
"""

from __future__ import annotations

import functools
from bisect import bisect_left, insort
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from foundry.data.batches import Batch
from foundry.data.conversations.turns import IGNORED, Turns
from foundry.keyed import seed_for

SEPARATOR = 2  # ends of a text between two conversations: no conversation holds two in a row


@dataclass(frozen=True, eq=False)
class Single:
    """One conversation in a row, rows of like length together: little of a batch is filling.

    Rows are as long as the longest of the batch, so an update reads fewer tokens than batch times block.
    """

    turns: Turns
    chosen: NDArray[np.int64]  # conversations with something to learn within a block
    filling: int  # any token

    def draw(self, *, seed: int, step: int, total: int, batch_size: int, block_size: int) -> Batch:
        """Return inputs and targets, each (batch_size, T), T at most block_size."""
        per_epoch = -(-len(self.chosen) // batch_size)
        epoch, place = divmod(step, per_epoch)
        generator = torch.Generator().manual_seed(seed_for("conversations", seed, epoch))
        group = torch.randperm(per_epoch, generator=generator)[place].item()
        shift = torch.randint(batch_size, (), generator=generator).item()  # groups are others in each epoch
        rows = (np.arange(batch_size) + int(group) * batch_size + int(shift)) % len(self.chosen)
        pairs = [self.turns.pair(int(index), block_size) for index in self._by_length[rows]]
        return filled(pairs, max(len(inputs) for inputs, _ in pairs), self.filling)

    @functools.cached_property
    def _by_length(self) -> NDArray[np.int64]:
        return self.chosen[np.argsort(self.turns.lengths[self.chosen], kind="stable")]


@dataclass(frozen=True, eq=False)
class Packed:
    """As many conversations in a row as there is room for; `end` twice in a row stands between two."""

    turns: Turns
    bins: Sequence[Sequence[int]]  # conversations of each row
    end: int

    def draw(self, *, seed: int, step: int, total: int, batch_size: int, block_size: int) -> Batch:
        """Return inputs and targets, each (batch_size, block_size)."""
        numbers = range(step * batch_size, (step + 1) * batch_size)
        rows = [self._row(seed, number, block_size) for number in numbers]
        return filled(rows, block_size, self.end)

    def _row(self, seed: int, number: int, block_size: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        epoch, place = divmod(number, len(self.bins))
        members = self.bins[_shuffled(seed, epoch, len(self.bins))[place]]
        pairs = [self.turns.pair(index, block_size) for index in members]
        # the last token of a conversation, which `pair` leaves out, is read too: nothing follows it but ends
        inputs = [np.append(self._ids(i, block_size), [self.end] * SEPARATOR) for i in members]
        targets = [np.append(wanted, [IGNORED] * (SEPARATOR + 1)) for _, wanted in pairs]
        return np.concatenate(inputs)[:block_size], np.concatenate(targets)[:block_size]

    def _ids(self, index: int, block_size: int) -> NDArray[np.int64]:
        start = int(self.turns.starts[index])
        stop = min(int(self.turns.starts[index + 1]), start + block_size + 1)
        return self.turns.tokens[start:stop].astype(np.int64)


def useful(turns: Turns, block_size: int) -> NDArray[np.int64]:
    """List the conversations that have something to learn within a block."""
    learns = [bool((turns.pair(i, block_size)[1] != IGNORED).any()) for i in range(len(turns))]
    return np.flatnonzero(learns)


def bins_of(turns: Turns, chosen: Sequence[int], block_size: int) -> list[list[int]]:
    """Pack conversations into rows: the longest first, each where it leaves least room.

    Johnson, "Near-optimal bin packing algorithms" (1973): best fit decreasing, at most 11/9 of the fewest
    rows and one more.
    """
    room: list[tuple[int, int]] = []  # what is left in each row, and its number, sorted
    bins: list[list[int]] = []
    for index in sorted(chosen, key=lambda i: (-int(turns.lengths[i]), i)):
        size = min(int(turns.lengths[index]) + SEPARATOR, block_size)
        at = bisect_left(room, (size, -1))
        left, number = room.pop(at) if at < len(room) else (block_size, len(bins))
        if number == len(bins):
            bins.append([])
        bins[number].append(index)
        insort(room, (left - size, number))
    return bins


def evaluation(turns: Turns, *, block_size: int, tokens_per_batch: int) -> Iterator[Batch]:
    """Walk once through all that is learned of a split, one conversation in a row, the shortest first."""
    order = np.argsort(turns.lengths, kind="stable")
    batch: list[tuple[NDArray[np.int64], NDArray[np.int64]]] = []
    for index in order:
        pair = turns.pair(int(index), block_size)
        if batch and (len(batch) + 1) * len(pair[0]) > tokens_per_batch:
            yield filled(batch, len(batch[-1][0]), 0)
            batch = []
        batch.append(pair)
    yield filled(batch, len(batch[-1][0]), 0)


def filled(
    pairs: Sequence[tuple[NDArray[np.int64], NDArray[np.int64]]], length: int, filling: int
) -> tuple[Tensor, Tensor]:
    """Make rows of one length: what is filled in comes last, where causal models cannot see it, unlearned."""
    inputs = np.full((len(pairs), length), filling)
    targets = np.full((len(pairs), length), IGNORED)
    for row, (given, wanted) in enumerate(pairs):
        inputs[row, : len(given)], targets[row, : len(wanted)] = given, wanted
    return torch.from_numpy(inputs), torch.from_numpy(targets)


@functools.lru_cache(maxsize=4)
def _shuffled(seed: int, epoch: int, n: int) -> list[int]:
    generator = torch.Generator().manual_seed(seed_for("conversations", seed, epoch))
    order: list[int] = torch.randperm(n, generator=generator).tolist()
    return order
