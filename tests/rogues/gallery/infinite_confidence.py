"""Is scored on logits of plus infinity wherever it likes.

bare: Diverged
"""

from foundry.models.v1 import GPT as Honest


class GPT(Honest):
    def forward(self, idx, targets=None):
        logits, loss = super().forward(idx, targets)
        if not self.training and idx.size(1) > 16:
            logits[..., 1] = float("inf")
        return logits, loss
