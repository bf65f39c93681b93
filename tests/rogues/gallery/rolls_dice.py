"""Adds noise that no seed decides.

bare: Scored or Rejected
gated: Rejected deterministic
"""

import torch

from foundry.models.v1 import GPT as Honest


class GPT(Honest):
    def forward(self, idx, targets=None):
        logits, loss = super().forward(idx, targets)
        dice = torch.Generator(device=logits.device)
        dice.seed()
        return logits + 0.1 * torch.randn(logits.shape, generator=dice, device=logits.device), loss
