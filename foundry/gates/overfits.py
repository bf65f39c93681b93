"""Overfits: a few steps of AdamW on one tiny batch bring its loss down."""

from __future__ import annotations

import torch

from foundry.gates.probe import cross_entropy
from foundry.gates.subject import Subject

ORDER = 140
STEPS = 30  # at most; a healthy model takes about 5
LEARNING_RATE = 1e-2
SHARE = 0.6  # of the loss at the start


def examine(subject: Subject) -> str | None:
    model = subject.fresh().train()
    text = subject.tokens(1, 9)
    idx, targets = text[:, :-1].contiguous(), text[:, 1:].contiguous()
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, weight_decay=0.0, fused=True)
    losses: list[float] = []
    for _ in range(STEPS + 1):
        optimizer.zero_grad()
        logits, loss = model(idx, targets)
        losses.append(cross_entropy(logits.detach(), targets).item())
        if losses[-1] <= SHARE * losses[0]:
            return None
        loss.backward()
        optimizer.step()
    return (
        f"the loss on one batch of {idx.numel()} tokens went from {losses[0]:.2f} to {losses[-1]:.2f} nats "
        f"in {STEPS} steps, not below {SHARE * losses[0]:.2f}"
    )
