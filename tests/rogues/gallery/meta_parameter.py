"""Has a parameter without memory.

bare: Crashed
gated: Rejected
"""

import torch
from torch import nn

from foundry.models.v1 import GPT as Honest


class GPT(Honest):
    def __init__(self, config):
        super().__init__(config)
        self.lm_head.weight = nn.Parameter(torch.empty_like(self.lm_head.weight, device="meta"))
