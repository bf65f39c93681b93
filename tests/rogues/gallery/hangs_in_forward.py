"""Does not come back from its fourth pass, in training.

bare: TimedOut
"""

import time

from foundry.models.v1 import GPT as Honest


class GPT(Honest):
    passes = 0

    def forward(self, idx, targets=None):
        self.passes += 1
        time.sleep(20 if self.passes > 3 else 0)
        return super().forward(idx, targets)
