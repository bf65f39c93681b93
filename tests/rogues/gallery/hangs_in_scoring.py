"""Trains as it should and does not come back from being scored.

bare: TimedOut
"""

import time

from foundry.models.v1 import GPT as Honest


class GPT(Honest):
    def forward(self, idx, targets=None):
        time.sleep(20 if idx.size(1) > 16 and not self.training else 0)
        return super().forward(idx, targets)
