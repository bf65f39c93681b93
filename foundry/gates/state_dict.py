"""State dict: a model restored from its state dict answers as the saved one did, so a trial can resume."""

from __future__ import annotations

from foundry.gates.probe import distance, logits
from foundry.gates.subject import Subject

ORDER = 130


def examine(subject: Subject) -> str | None:
    saved, idx = subject.stirred(), subject.tokens(2, subject.block_size)
    for seed in range(2):  # whatever a model gathers while it trains must be in its state
        logits(saved.train(), subject.tokens(2, subject.block_size, seed), seed=seed)
    restored = subject.fresh(seed=1)
    restored.load_state_dict(saved.state_dict(), strict=True)
    apart = distance(logits(saved.eval(), idx), logits(restored.eval(), idx))
    if apart > 0:
        return f"logits differ by {apart:.2g} after the state dict was saved and loaded"
    return None
