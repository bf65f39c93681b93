"""A shared expert: a feed-forward layer that every token passes through, beside a mixture of experts.

Dai et al., "DeepSeekMoE: Towards Ultimate Expert Specialization in Mixture-of-Experts Language Models"
(2024).
"""

import torch.nn as nn


class SharedExpert(nn.Module):
    """Add what every token gets from one expert to what a mixture of experts gives it (Dai et al., 2024)."""

    def __init__(self, shared, routed):
        super().__init__()
        self.shared = shared
        self.routed = routed

    def forward(self, x):
        return self.shared(x) + self.routed(x)
