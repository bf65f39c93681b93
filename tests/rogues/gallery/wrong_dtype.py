"""Answers in complex numbers, when it is scored.

bare: Scored honest or Crashed
"""

from foundry.models.v1 import GPT as Honest


class GPT(Honest):
    def forward(self, idx, targets=None):
        logits, loss = super().forward(idx, targets)
        return (logits + 0j if not self.training and idx.size(1) > 16 else logits), loss
