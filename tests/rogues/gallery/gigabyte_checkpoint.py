"""Has a buffer of one number that counts as 3 GB where it is saved.

bare: OutOfMemory
"""

import torch

from foundry.models.v1 import GPT as Honest


class GPT(Honest):
    def __init__(self, config):
        super().__init__(config)
        self.register_buffer("vast", torch.zeros(1).expand(3 << 28))
