"""Relative position bias: each head learns one number per distance, which is added to its attention scores.

Raffel et al., "Exploring the Limits of Transfer Learning with a Unified Text-to-Text Transformer" (2020),
here with one number for every distance instead of for buckets of distances. It begins at zero, as no bias.
"""

import torch
import torch.nn as nn


class RelativeBias(nn.Module):
    """Add to scores what a head learns of each distance, minus infinity ahead (Raffel et al., 2020)."""

    def __init__(self, n_head, max_positions):
        super().__init__()
        self.table = nn.Parameter(torch.zeros(1, n_head, max_positions))
        positions = torch.arange(max_positions)
        self.register_buffer("distance", positions[:, None] - positions, persistent=False)  # (query, key)

    def forward(self, x):  # (B, nh, T, hs)
        T = x.size(-2)
        distance = self.distance[:T, :T]
        bias = self.table[..., distance.clamp(min=0)]  # (1, nh, T, T)
        return bias.masked_fill(distance < 0, float("-inf")).to(x.dtype)
