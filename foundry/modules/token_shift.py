"""Token shift: part of each token's channels come from the token before it.

Peng et al., "RWKV: Reinventing RNNs for the Transformer Era" (2023).
"""

import torch
import torch.nn as nn
from torch.nn import functional as F


class TokenShift(nn.Module):
    """Take the first half of the channels from the previous token (Peng et al., 2023)."""

    def forward(self, x):  # (B, T, C)
        before, now = x.tensor_split(2, dim=-1)
        return torch.cat((F.pad(before, (0, 0, 1, -1)), now), dim=-1)
