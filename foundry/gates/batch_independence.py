"""Batch independence: a row's logits depend neither on its neighbours in the batch nor on their number."""

from __future__ import annotations

from torch import Tensor, nn

from foundry.gates.probe import MODES, SAME, distance, in_mode, logits
from foundry.gates.subject import Subject

ORDER = 120
ROWS = 3
SAME_ALONE = 1e-2  # relative; a batch of another size is summed in another order, in bfloat16 perhaps


def examine(subject: Subject) -> str | None:
    model, idx = subject.stirred(), subject.tokens(ROWS, subject.block_size)
    for mode in MODES:
        problem = _neighbours(subject, in_mode(model, mode), idx)
        if problem is not None:
            return f"{problem}, in {mode} mode"
    together, alone = logits(model, idx)[1], logits(model, idx[1:2])[0]
    apart = distance(together, alone)
    if apart > SAME_ALONE:
        return f"logits of a row change by {apart:.2g} when it is alone in its batch, in eval mode"
    return None


def _neighbours(subject: Subject, model: nn.Module, idx: Tensor) -> str | None:
    before, other = logits(model, idx), subject.others(idx)
    for row in range(ROWS):
        changed = other.clone()
        changed[row] = idx[row]
        apart = distance(before[row], logits(model, changed)[row])
        if apart > SAME:
            return f"logits of row {row} change by {apart:.2g} when the other rows of its batch change"
    return None
