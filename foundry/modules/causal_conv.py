"""Depthwise causal convolution over tokens, which starts as the identity.

So et al., "Primer: Searching for Efficient Transformers for Language Modeling" (2021).
"""

import torch
import torch.nn as nn
from torch.nn import functional as F


class CausalConv(nn.Module):
    """Mix each channel over this token and the `width - 1` before it (So et al., 2021)."""

    def __init__(self, channels, width=3):
        super().__init__()
        taps = torch.zeros(channels, 1, width)
        taps[..., -1] = 1.0  # of this token
        self.weight = nn.Parameter(taps)

    def forward(self, x):  # (B, T, channels)
        x = F.pad(x.mT, (self.weight.size(-1) - 1, 0))
        return F.conv1d(x, self.weight, groups=x.size(1)).mT
