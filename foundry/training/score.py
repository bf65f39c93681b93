"""The score: cross-entropy over a whole split, computed here from logits, never by the candidate."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from foundry.data.batches import Batch, Ids, windows
from foundry.data.conversations.rows import evaluation
from foundry.data.conversations.turns import IGNORED, Turns
from foundry.data.splits import Split

TOKENS = 2048  # of a batch


def of_split(
    model: nn.Module, split: Split, *, block_size: int, tokens_per_batch: int = TOKENS
) -> tuple[float, float]:
    """Return nats per token and bits per byte over all that counts in a split.

    In a text that is every token but the first; in conversations it is what is to be learned.

    Raises:
        ValueError: as `cross_entropy` does.
    """
    batches = batches_of(split, block_size=block_size, tokens_per_batch=tokens_per_batch)
    return in_bits(_mean(model, batches), split, split)


def batches_of(split: Split, *, block_size: int, tokens_per_batch: int = TOKENS) -> Iterator[Batch]:
    """Walk once through what counts in a split: inputs and targets, -100 where nothing is asked."""
    if isinstance(split, Turns):
        return evaluation(split, block_size=block_size, tokens_per_batch=tokens_per_batch)
    batch_size = max(1, tokens_per_batch // block_size)
    return windows(split.tokens, block_size=block_size, batch_size=batch_size)


def in_bits(loss: float, split: Split, unit: Split) -> tuple[float, float]:
    """Turn nats per token of a split into nats per token of `unit`, and into bits per byte.

    Both are the same text, perhaps in the tokens of another tokenizer. Its first token, which is never
    predicted, counts as much as the others on the mean.
    """
    assert split.n_bytes == unit.n_bytes
    counted = _counted(split)
    return loss * (counted / _counted(unit)), bits_per_byte(loss, counted, split.n_bytes)


def cross_entropy(model: nn.Module, tokens: Ids, *, block_size: int, tokens_per_batch: int = TOKENS) -> float:
    """Return nats per token over all of `tokens` (n,), in windows of block_size.

    Raises:
        ValueError: the logits have a shape other than (batch, time, vocabulary).
    """
    batch_size = max(1, tokens_per_batch // block_size)
    return _mean(model, windows(tokens, block_size=block_size, batch_size=batch_size))


def _counted(split: Split) -> int:
    return int(split.learned.sum()) if isinstance(split, Turns) else len(split.tokens)


@torch.no_grad()
def _mean(model: nn.Module, batches: Iterable[Batch]) -> float:
    """Return nats per target, those of -100 left out.

    The model is asked for logits at every position by passing its own inputs as targets: it never holds the
    real ones.
    """
    was_training = model.training
    model.eval()
    device = next(model.parameters()).device
    sum_of = Nats()
    for inputs, targets in batches:
        inputs, targets = inputs.to(device), targets.to(device)
        logits = model(inputs, inputs)[0]
        if logits.dim() != 3 or logits.shape[:2] != inputs.shape:
            raise ValueError(f"logits of shape {tuple(logits.shape)} for inputs of {tuple(inputs.shape)}")
        sum_of.add(logits.float(), targets)
    model.train(was_training)
    return sum_of.mean


@dataclass
class Nats:
    """A cross-entropy that is added up batch by batch."""

    total: float = 0.0
    counted: int = 0

    def add(self, logits: Tensor, targets: Tensor) -> None:
        """Count logits (batch, time, vocabulary) against targets (batch, time), those of -100 left out."""
        nats = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=IGNORED, reduction="sum")
        self.total += nats.item()
        self.counted += int((targets != IGNORED).sum())

    @property
    def mean(self) -> float:
        """Nats per target."""
        return self.total / self.counted


def bits_per_byte(nats_per_token: float, n_tokens: int, n_bytes: int) -> float:
    """Convert a loss so that different tokenizers can be compared."""
    return nats_per_token * n_tokens / n_bytes / math.log(2)
