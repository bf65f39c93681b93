"""Squared ReLU.

So et al., "Primer: Searching for Efficient Transformers for Language Modeling" (2021).
"""

import torch.nn as nn
from torch.nn import functional as F


class SquaredReLU(nn.Module):
    """Square the positive part (So et al., 2021)."""

    def forward(self, x):
        return F.relu(x).square()
