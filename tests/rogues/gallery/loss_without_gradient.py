"""Has a loss that nothing can be learned from.

bare: Crashed does not require grad
gated: Rejected does not require grad
"""

from foundry.models.v1 import GPT as Honest


class GPT(Honest):
    def forward(self, idx, targets=None):
        logits, loss = super().forward(idx, targets)
        return logits, None if loss is None else loss.detach()
