"""ALiBi: attention scores fall in proportion to distance, in each head at a slope of its own.

Press, Smith and Lewis, "Train Short, Test Long: Attention with Linear Biases Enables Input Length
Extrapolation" (2021). Slopes are not learned: with n heads they are 2^(-8/n), 2^(-16/n) … 2^(-8).
"""

import torch
import torch.nn as nn


class ALiBi(nn.Module):
    """Lower attention scores in proportion to distance, minus infinity ahead (Press et al., 2021)."""

    def __init__(self, n_head, max_positions):
        super().__init__()
        slopes = 2 ** (-8 * torch.arange(1, n_head + 1) / n_head)
        positions = torch.arange(max_positions)
        self.register_buffer("slopes", slopes.view(1, n_head, 1, 1), persistent=False)
        self.register_buffer("distance", positions[:, None] - positions, persistent=False)  # (query, key)

    def forward(self, x):  # (B, nh, T, hs)
        T = x.size(-2)
        distance = self.distance[:T, :T]
        bias = -self.slopes * distance  # (1, nh, T, T)
        return bias.masked_fill(distance < 0, float("-inf")).to(x.dtype)
