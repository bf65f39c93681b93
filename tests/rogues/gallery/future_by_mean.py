"""Sees the mean of the whole text at every position.

bare: Rejected causality
gated: Rejected causality
"""

from foundry.models.v1 import GPT as Honest


class GPT(Honest):
    def forward(self, idx, targets=None):
        logits, loss = super().forward(idx, targets)
        return logits + logits.mean(1, keepdim=True), loss
