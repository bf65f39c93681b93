"""Trains and answers as it should, and does not come back where it was made anew without training.

bare: TimedOut
"""

import time

from foundry.models.v1 import GPT as Honest


class GPT(Honest):
    trained = False

    def forward(self, idx, targets=None):
        self.trained = self.trained or self.training
        time.sleep(0 if self.trained else 20)
        return super().forward(idx, targets)
