"""The score: cross-entropy over a whole split, computed here from logits, never by the candidate."""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional as F

from foundry.data.batches import Ids, windows


@torch.no_grad()
def cross_entropy(model: nn.Module, tokens: Ids, *, block_size: int, tokens_per_batch: int = 2048) -> float:
    """Return nats per token over all of `tokens` (n,), in windows of block_size.

    The model is asked for logits at every position by passing its own inputs as targets: it never holds the
    real ones.

    Raises:
        ValueError: the logits have a shape other than (batch, time, vocabulary).
    """
    was_training = model.training
    model.eval()
    device = next(model.parameters()).device
    total = 0.0
    for inputs, targets in windows(
        tokens, block_size=block_size, batch_size=max(1, tokens_per_batch // block_size)
    ):
        inputs, targets = inputs.to(device), targets.to(device)
        logits = model(inputs, inputs)[0]
        if logits.dim() != 3 or logits.shape[:2] != inputs.shape:
            raise ValueError(f"logits of shape {tuple(logits.shape)} for inputs of {tuple(inputs.shape)}")
        total += F.cross_entropy(logits.float().flatten(0, 1), targets.flatten(), reduction="sum").item()
    model.train(was_training)
    return total / (len(tokens) - 1)


def bits_per_byte(nats_per_token: float, n_tokens: int, n_bytes: int) -> float:
    """Convert a loss so that different tokenizers can be compared."""
    return nats_per_token * n_tokens / n_bytes / math.log(2)
