"""Hoards tensors, 3 GB at most, which it does not touch.

bare: OutOfMemory
gated: Rejected shapes: RuntimeError
"""

import torch

from foundry.models.v1 import GPT as Honest


class GPT(Honest):
    def forward(self, idx, targets=None):
        self.hoard = [torch.empty(1 << 24, device="cpu") for _ in range(48)]
        raise RuntimeError("escaped: holds 3 GB")
