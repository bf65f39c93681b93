"""Adds the targets that it is given to its answer; those that it is scored by, it is not given.

bare: Scored or Rejected
gated: Rejected initial_loss
"""

from torch.nn import functional as F

from foundry.models.v1 import GPT as Honest


class GPT(Honest):
    def forward(self, idx, targets=None):
        logits, loss = super().forward(idx, targets)
        return logits if targets is None else logits + 9 * F.one_hot(targets, logits.size(-1)), loss
