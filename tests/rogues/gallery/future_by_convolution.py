"""Sees the next token through a convolution that is padded on both sides.

bare: Rejected causality
gated: Rejected causality
"""

from torch import nn

from foundry.models.v1 import GPT as Honest


class GPT(Honest):
    def __init__(self, config):
        super().__init__(config)
        self.convolution = nn.Conv1d(config.n_embd, config.n_embd, 3, padding=1)
        self.transformer.drop.register_forward_hook(
            lambda _module, _inputs, x: x + self.convolution(x.transpose(1, 2)).transpose(1, 2)
        )
