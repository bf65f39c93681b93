"""Has two parameters that share their memory, so that each update of one is one of the other.

bare: Scored
"""

from torch import nn

from foundry.models.v1 import GPT as Honest


class GPT(Honest):
    def __init__(self, config):
        super().__init__(config)
        self.shadow = nn.Parameter(self.lm_head.weight.data.view(-1))

    def forward(self, idx, targets=None):
        logits, loss = super().forward(idx, targets)
        return logits, None if loss is None else loss + 0.1 * self.shadow.square().mean()
