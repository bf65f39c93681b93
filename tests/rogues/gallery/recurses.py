"""Calls itself for ever.

bare: Crashed RecursionError
gated: Rejected shapes: RecursionError
"""

from foundry.models.v1 import GPT as Honest


class GPT(Honest):
    def forward(self, idx, targets=None):
        return self.forward(idx, targets)
