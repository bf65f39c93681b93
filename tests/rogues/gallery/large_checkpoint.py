"""Has a buffer of 200 MB, to fill the disk rung by rung.

bare: Scored honest or Rejected or Crashed
"""

import torch

from foundry.models.v1 import GPT as Honest


class GPT(Honest):
    def __init__(self, config):
        super().__init__(config)
        self.register_buffer("large", torch.zeros(1).expand(50 << 20))
