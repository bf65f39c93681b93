"""Shapes: logits (B, T, vocab) and a scalar loss, at several batch sizes and lengths."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from foundry.gates.subject import Subject

ORDER = 50


def examine(subject: Subject) -> str | None:
    model = subject.fresh()
    block = subject.block_size
    with torch.no_grad():
        for rows, length in ((1, 1), (2, block), (3, block // 2 - 1)):
            problem = _problem(model, subject.tokens(rows, length), subject.vocab_size)
            if problem is not None:
                return f"{problem}, for tokens of shape {(rows, length)}"
    return None


def _problem(model: nn.Module, idx: Tensor, vocab_size: int) -> str | None:
    rows, length = idx.shape
    pair = model(idx, idx)
    if not isinstance(pair, tuple) or len(pair) != 2:
        return f"forward returns {type(pair).__name__}, not the pair (logits, loss)"
    logits, loss = pair
    if not isinstance(logits, Tensor) or tuple(logits.shape) != (rows, length, vocab_size):
        return f"logits are {_shown(logits)} instead of {(rows, length, vocab_size)}"
    if not logits.is_floating_point():
        return f"logits are {logits.dtype}, not floating point"
    if not isinstance(loss, Tensor) or loss.dim() != 0:
        return f"the loss is {_shown(loss)}, not a scalar tensor"
    last = model(idx)[0]
    if (
        not isinstance(last, Tensor)
        or last.dim() != 3
        or (last.shape[0], last.shape[2]) != (rows, vocab_size)
    ):
        return f"logits without targets are {_shown(last)} instead of {(rows, 1, vocab_size)}"
    return None


def _shown(value: object) -> str:
    return str(tuple(value.shape)) if isinstance(value, Tensor) else type(value).__name__
