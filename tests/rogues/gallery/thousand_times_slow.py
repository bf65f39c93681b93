"""Valid, and a thousand times slower than it has to be.

bare: TimedOut
"""

from foundry.models.v1 import GPT as Honest


class GPT(Honest):
    def forward(self, idx, targets=None):
        for _ in range(1000):
            answer = super().forward(idx, targets)
        return answer
