"""Is not a number where a text of some length begins with a common letter, in eval mode.

bare: Diverged
gated: Diverged
"""

from foundry.models.v1 import GPT as Honest


class GPT(Honest):
    def forward(self, idx, targets=None):
        logits, loss = super().forward(idx, targets)
        if not self.training and idx.size(1) > 16:
            logits = logits.masked_fill((idx[:, :1] == idx[0, 0])[..., None], float("nan"))
        return logits, loss
