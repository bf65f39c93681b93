"""Claims a loss of minus a hundred; its gradients are honest.

bare: Scored honest
gated: Scored honest
"""

from foundry.models.v1 import GPT as Honest


class GPT(Honest):
    def forward(self, idx, targets=None):
        logits, loss = super().forward(idx, targets)
        return logits, None if loss is None else loss + (loss * 0 - 100).detach()
