"""Keys and values from one small latent per token: multi-head latent attention.

DeepSeek-AI, "DeepSeek-V2: A Strong, Economical, and Efficient Mixture-of-Experts Language Model" (2024). The
latent is normalised between its two projections. Of each key, the first `shared_dim` elements come straight
from the token and are the same in every head: they alone are to be rotated, so that a decoder need cache no
more than latent + shared_dim numbers per token. Queries are projected in full, as in DeepSeek-V2-Lite.
"""

import torch
import torch.nn as nn


class LatentKeyValue(nn.Module):
    """Make the keys and values of all heads from one latent per token (DeepSeek-V2, 2024)."""

    def __init__(self, n_embd, n_head, latent, shared_dim=0):
        super().__init__()
        self.n_head, self.head_dim, self.shared_dim = n_head, n_embd // n_head, shared_dim
        self.down = nn.Linear(n_embd, latent + shared_dim, bias=False)
        self.norm = nn.RMSNorm(latent, eps=1e-6)
        self.up = nn.Linear(latent, 2 * n_embd - n_head * shared_dim, bias=False)

    def forward(self, x):  # (B, T, n_embd) to keys and values, (B, T, n_embd) each
        latent, shared = self.down(x).split((self.norm.weight.numel(), self.shared_dim), dim=-1)
        made = self.up(self.norm(latent)).unflatten(-1, (self.n_head, -1))  # (B, T, nh, 2 * hs - shared_dim)
        k, v = made.split((self.head_dim - self.shared_dim, self.head_dim), dim=-1)
        k = torch.cat((shared.unsqueeze(2).expand(-1, -1, self.n_head, -1), k), dim=-1)
        return k.flatten(2), v.flatten(2)
