"""Is fine for three steps and not a number from then on.

bare: Diverged step=3
"""

from foundry.models.v1 import GPT as Honest


class GPT(Honest):
    passes = 0

    def forward(self, idx, targets=None):
        logits, loss = super().forward(idx, targets)
        if self.training and idx.device.type == "cpu":
            self.passes += 1
            if self.passes > 3:
                loss = loss * float("nan")
        return logits, loss
