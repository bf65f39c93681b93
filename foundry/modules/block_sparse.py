"""Block-sparse attention: each block of tokens sees itself, the block before it and the first block.

Zaheer et al., "Big Bird: Transformers for Longer Sequences" (2020), without its random blocks. Time and
memory grow with T * block instead of T * T.
"""

import torch
import torch.nn as nn
from torch.nn import functional as F


class BlockSparseAttention(nn.Module):
    """Attend to one's own block of tokens, the one before and the first (Zaheer et al., 2020)."""

    def __init__(self, block):
        super().__init__()
        self.block = block

    def forward(self, q, k, v, dropout_p=0.0, scale=None):  # q (B, nh, T, hs), k and v (B, nkv, T, hs)
        B, T, w = q.size(0), q.size(2), self.block
        options = {"dropout_p": dropout_p, "scale": scale, "enable_gqa": k.size(1) < q.size(1)}
        if 2 * w >= T:
            return F.scaled_dot_product_attention(q, k, v, is_causal=True, **options)
        n = -(-T // w)  # blocks: each is a batch of its own

        def blocks(x):  # (B, n, nh, w, hs)
            x = F.pad(x, (0, 0, 0, n * w - T)) if n * w > T else x
            return x.unflatten(2, (n, w)).transpose(1, 2)

        def seen(x):  # (B * n, nkv, 3 * w, hs): the first block, the one before, one's own
            x = blocks(x)
            return torch.cat((x[:, :1].expand_as(x), x.roll(1, dims=1), x), dim=3).flatten(0, 1)

        at = torch.arange(n, device=q.device).view(n, 1, 1, 1)
        whole = torch.ones(n, 1, w, w, dtype=torch.bool, device=q.device)
        mask = torch.cat((whole & (at > 1), whole & (at > 0), whole.tril()), dim=3).repeat(B, 1, 1, 1)
        y = F.scaled_dot_product_attention(
            blocks(q).flatten(0, 1), seen(k), seen(v), attn_mask=mask, **options
        )
        return y.unflatten(0, (B, n)).transpose(1, 2).flatten(2, 3)[:, :, :T]
