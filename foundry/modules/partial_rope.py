"""Partial rotary position embedding: the first part of each head is rotated, the rest knows no positions.

Black et al., "GPT-NeoX-20B: An Open-Source Autoregressive Language Model" (2022), who rotate a quarter; in
the rotate-half layout of GPT-NeoX and Hugging Face's Llama.
"""

import torch
import torch.nn as nn


class PartialRotaryEmbedding(nn.Module):
    """Rotate the first rotary_dim dimensions of each head, leave the others alone (Black et al., 2022)."""

    def __init__(self, rotary_dim, max_positions, theta=10000.0):
        super().__init__()
        self.half = rotary_dim // 2
        inv_freq = theta ** -(torch.arange(self.half).float() / self.half)
        positions = torch.arange(max_positions).float()
        angles = torch.outer(positions, inv_freq)  # (positions, rotary_dim/2)
        self.register_buffer("cos", angles.cos(), persistent=False)
        self.register_buffer("sin", angles.sin(), persistent=False)

    def forward(self, x):  # (B, nh, T, hs)
        cos, sin = self.cos[: x.size(-2)].to(x.dtype), self.sin[: x.size(-2)].to(x.dtype)
        a, b, rest = x.tensor_split((self.half, 2 * self.half), dim=-1)
        return torch.cat((a * cos - b * sin, b * cos + a * sin, rest), dim=-1)
