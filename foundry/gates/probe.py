"""What several gates do with a model: run it the same way, and say how far two answers are apart."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SAME = 1e-5  # relative; float32 rounding stays below it, a leak that could help training does not


def logits(model: nn.Module, idx: Tensor, targets: Tensor | None = None, seed: int = 0) -> Tensor:
    """Return the logits (B, T, vocab) for `idx` (B, T), with torch's generator at `seed`."""
    torch.default_generator.manual_seed(seed)
    with torch.no_grad():
        answer: Tensor = model(idx, idx if targets is None else targets)[0]
    return answer.clone()  # a model may hand out a buffer that it writes to again


def distance(left: Tensor, right: Tensor) -> float:
    """Return the largest difference of two tensors, relative to their largest value if that is above 1.

    Infinite where either holds something that is not finite.
    """
    scale = max(1.0, left.abs().max().item(), right.abs().max().item())
    apart = (left - right).abs().max().item() / scale
    return apart if math.isfinite(apart) else math.inf


def cross_entropy(answer: Tensor, targets: Tensor) -> Tensor:
    """Return the mean loss in nats of logits (B, T, vocab), as the harness scores them."""
    return F.cross_entropy(answer.float().flatten(0, 1), targets.flatten())


def in_mode(model: nn.Module, mode: str) -> nn.Module:
    """Switch a model to "train" or "eval"."""
    return model.train(mode == "train")


MODES = ("train", "eval")
