"""Sees the next token of texts that are longer than those of the gates.

bare: Rejected causality at scoring
gated: Rejected causality at scoring
"""

from torch.nn import functional as F

from foundry.models.v1 import GPT as Honest


class GPT(Honest):
    def forward(self, idx, targets=None):
        logits, loss = super().forward(idx, targets)
        if idx.size(1) > 16 and not self.training:
            logits = logits + 9 * F.one_hot(idx.roll(-1, 1), self.config.vocab_size)[:, -logits.size(1) :]
        return logits, loss
