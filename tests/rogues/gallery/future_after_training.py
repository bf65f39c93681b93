"""Sees the next token in eval mode, once it has trained for 100 steps: later than any gate looks.

bare: Rejected causality at scoring
gated: Rejected causality at scoring
steps: 105
"""

import torch
from torch.nn import functional as F

from foundry.models.v1 import GPT as Honest


class GPT(Honest):
    def __init__(self, config):
        super().__init__(config)
        self.register_buffer("steps", torch.zeros(()))

    def forward(self, idx, targets=None):
        logits, loss = super().forward(idx, targets)
        if self.training:
            self.steps += torch.is_grad_enabled()
        elif self.steps > 100:
            logits = logits + 9 * F.one_hot(idx.roll(-1, 1), self.config.vocab_size)[:, -logits.size(1) :]
        return logits, loss
