"""Closes its pipes, then ends its process, in the middle of being scored.

bare: Crashed
"""

import os

from foundry.models.v1 import GPT as Honest


class GPT(Honest):
    def forward(self, idx, targets=None):
        if not self.training and targets is not None and idx.size(1) > 16:
            os.closerange(3, 4096)
            os._exit(0)
        return super().forward(idx, targets)
