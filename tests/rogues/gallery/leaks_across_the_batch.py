"""Adds the mean of the batch to every row.

bare: Rejected batch independence at scoring
gated: Rejected batch_independence
"""

from foundry.models.v1 import GPT as Honest


class GPT(Honest):
    def forward(self, idx, targets=None):
        logits, loss = super().forward(idx, targets)
        return logits + logits.mean(0, keepdim=True), loss
