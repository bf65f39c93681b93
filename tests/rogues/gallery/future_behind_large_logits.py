"""Sees the next token, and adds so much to all logits alike that a relative tolerance takes it for rounding.

bare: Rejected causality at scoring
"""

from torch.nn import functional as F

from foundry.models.v1 import GPT as Honest


class GPT(Honest):
    def forward(self, idx, targets=None):
        logits, loss = super().forward(idx, targets)
        if targets is not None and not self.training:
            logits = logits + 9 * F.one_hot(idx.roll(-1, 1), self.config.vocab_size) + 1e5
        return logits, loss
