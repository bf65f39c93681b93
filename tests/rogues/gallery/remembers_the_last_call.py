"""Answers with a part of what it answered before.

bare: Scored or Rejected
gated: Rejected deterministic
"""

from foundry.models.v1 import GPT as Honest


class GPT(Honest):
    last = 0.0

    def forward(self, idx, targets=None):
        logits, loss = super().forward(idx, targets)
        answer, self.last = logits + self.last, logits.detach().mean()
        return answer, loss
