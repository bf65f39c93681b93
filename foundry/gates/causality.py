"""Causality: logits at t do not change when tokens after t change, nor when the targets do."""

from __future__ import annotations

from torch import Tensor, nn

from foundry.gates.probe import SAME, distance, in_mode, logits
from foundry.gates.subject import Subject

ORDER = 110


def examine(subject: Subject) -> str | None:
    model = subject.stirred()
    block = subject.block_size
    for mode, length in (("train", block), ("eval", block), ("eval", block - 5)):
        problem = _problem(subject, in_mode(model, mode), subject.tokens(1, length))
        if problem is not None:
            return f"{problem}, in {mode} mode"
    return None


def _problem(subject: Subject, model: nn.Module, idx: Tensor) -> str | None:
    """Compare one row (1, T) with itself under another future, cut at even and at odd positions."""
    before, other, length = logits(model, idx), subject.others(idx), idx.size(1)
    apart = distance(before, logits(model, idx, targets=other))
    if apart > SAME:
        return f"logits change by {apart:.2g} when only the targets change"
    for t in (0, 3, length // 2, length - 2):
        future = idx.clone()
        future[:, t + 1 :] = other[:, t + 1 :]
        after = logits(model, future)
        if distance(before[:, : t + 1], after[:, : t + 1]) > SAME:
            seen = (before - after)[0, : t + 1].abs().amax(dim=-1)
            return (
                f"logits at position {int(seen.argmax())} of {length} change by {seen.max().item():.2g} "
                f"when tokens after {t} change"
            )
    return None
