"""Deterministic: the seed decides initialisation and dropout, and nothing is random in eval mode.

The gates after this one compare answers, and presume it.
"""

from __future__ import annotations

from foundry.gates.probe import distance, logits
from foundry.gates.subject import Subject, stir

ORDER = 100


def examine(subject: Subject) -> str | None:
    first, second = subject.fresh(), subject.fresh()
    for (name, left), (_, right) in zip(first.named_parameters(), second.named_parameters(), strict=True):
        if not left.equal(right):
            return f"{name} differs between two models built under one seed"
    idx = subject.tokens(2, subject.block_size)
    apart = distance(logits(first.train(), idx), logits(second.train(), idx))
    if apart > 0:
        return f"two models built under one seed differ by {apart:.2g} in train mode"
    model = stir(first)
    apart = distance(logits(model, idx), logits(model, idx))
    if apart > 0:
        return f"two train passes under one seed differ by {apart:.2g}"
    model.eval()
    apart = distance(logits(model, idx, seed=0), logits(model, idx, seed=1))
    if apart > 0:
        return f"two eval passes over the same tokens differ by {apart:.2g}"
    return None
