"""Sliding-window attention in chunks: time and memory grow with T * window instead of T * T.

Beltagy, Peters and Cohan, "Longformer: The Long-Document Transformer" (2020); Jiang et al.,
"Mistral 7B" (2023).
"""

import torch
import torch.nn as nn
from torch.nn import functional as F


class SlidingWindowAttention(nn.Module):
    """Attend to the last `window` tokens, one's own among them; to all if None (Beltagy et al., 2020)."""

    def __init__(self, window):
        super().__init__()
        self.window = window

    def forward(self, q, k, v, dropout_p=0.0, scale=None):  # q (B, nh, T, hs), k and v (B, nkv, T, hs)
        B, T, w = q.size(0), q.size(2), self.window
        options = {"dropout_p": dropout_p, "scale": scale, "enable_gqa": k.size(1) < q.size(1)}
        if w is None or w >= T:
            return F.scaled_dot_product_attention(q, k, v, is_causal=True, **options)
        n = -(-T // w)  # chunks: each attends to itself and the one before, as a batch of its own

        def chunks(x):  # (B, n, nh, w, hs)
            x = F.pad(x, (0, 0, 0, n * w - T)) if n * w > T else x
            return x.unflatten(2, (n, w)).transpose(1, 2)

        def seen(x):  # (B * n, nkv, 2 * w, hs)
            return torch.cat((chunks(x).roll(1, dims=1), chunks(x)), dim=3).flatten(0, 1)

        mask = torch.ones(w, 2 * w, dtype=torch.bool, device=q.device).tril(w).triu(1).repeat(B, n, 1, 1, 1)
        mask[:, 0, :, :, :w] = False  # nothing comes before the first chunk
        mask = mask.flatten(0, 1)  # (B * n, 1, w, 2 * w)
        y = F.scaled_dot_product_attention(
            chunks(q).flatten(0, 1), seen(k), seen(v), attn_mask=mask, **options
        )
        return y.unflatten(0, (B, n)).transpose(1, 2).flatten(2, 3)[:, :, :T]
