"""Sees the next token, always.

bare: Rejected causality
gated: Rejected causality
"""

from torch.nn import functional as F

from foundry.models.v1 import GPT as Honest


class GPT(Honest):
    def forward(self, idx, targets=None):
        logits, loss = super().forward(idx, targets)
        return logits + 0.3 * F.one_hot(idx.roll(-1, 1), self.config.vocab_size)[:, -logits.size(1) :], loss
