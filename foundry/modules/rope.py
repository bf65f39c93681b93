"""Rotary position embedding: queries and keys are turned by angles that grow with position.

Su et al., "RoFormer: Enhanced Transformer with Rotary Position Embedding" (2021), in the
rotate-half layout of GPT-NeoX and Hugging Face's Llama.
"""

import torch
import torch.nn as nn


class RotaryEmbedding(nn.Module):
    """Rotate halves of each head by angles that grow with position (Su et al., 2021)."""

    def __init__(self, head_dim, max_positions, theta=10000.0):
        super().__init__()
        inv_freq = theta ** -(torch.arange(0, head_dim, 2).float() / head_dim)
        angles = torch.outer(torch.arange(max_positions).float(), inv_freq)  # (positions, hs/2)
        self.register_buffer("cos", angles.cos(), persistent=False)
        self.register_buffer("sin", angles.sin(), persistent=False)

    def forward(self, x):  # (B, nh, T, hs)
        cos, sin = self.cos[: x.size(-2)].to(x.dtype), self.sin[: x.size(-2)].to(x.dtype)
        a, b = x.chunk(2, dim=-1)
        return torch.cat((a * cos - b * sin, b * cos + a * sin), dim=-1)
