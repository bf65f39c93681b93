"""Claims a loss of zero, from which nothing can be learned.

bare: Scored
gated: Rejected gradients
"""

from foundry.models.v1 import GPT as Honest


class GPT(Honest):
    def forward(self, idx, targets=None):
        logits, loss = super().forward(idx, targets)
        return logits, None if loss is None else loss * 0
