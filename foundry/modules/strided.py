"""Strided attention: the last tokens, and every so-many-th before them.

Child et al., "Generating Long Sequences with Sparse Transformers" (2019): both patterns in every head.
Time and memory grow with T * (stride + T / stride) instead of T * T.
"""

import torch
import torch.nn as nn
from torch.nn import functional as F


class StridedAttention(nn.Module):
    """Attend to the last `stride` tokens and to every stride-th before them (Child et al., 2019)."""

    def __init__(self, stride):
        super().__init__()
        self.stride = stride

    def forward(self, q, k, v, dropout_p=0.0, scale=None):  # q (B, nh, T, hs), k and v (B, nkv, T, hs)
        (_, nh, T, hs), w = q.shape, self.stride
        if w >= T:
            options = {"dropout_p": dropout_p, "scale": scale, "enable_gqa": k.size(1) < nh}
            return F.scaled_dot_product_attention(q, k, v, is_causal=True, **options)
        n = -(-T // w)  # chunks of w tokens

        def chunks(x):  # (B, nh, n, w, hs)
            x = x.repeat_interleave(nh // x.size(1), dim=1) if x.size(1) < nh else x
            x = F.pad(x, (0, 0, 0, n * w - T)) if n * w > T else x
            return x.unflatten(2, (n, w))

        def pairs(x):  # (B, nh, n, 2 * w, hs): the chunk before, and one's own
            return torch.cat((x.roll(1, dims=2), x), dim=3)

        def columns(x):  # (B, nh, w, n, hs): the tokens at the same place of every chunk
            return x.transpose(2, 3)

        q, k, v = chunks(q) * (hs**-0.5 if scale is None else scale), chunks(k), chunks(v)
        near = torch.ones(w, 2 * w, dtype=torch.bool, device=q.device).tril(w).triu(1).repeat(n, 1, 1)
        near[0, :, :w] = False  # nothing comes before the first chunk
        far = torch.ones(n, n, dtype=torch.bool, device=q.device).tril(-1)
        near = (q @ pairs(k).mT).masked_fill(~near, -float("inf"))
        far = (columns(q) @ columns(k).mT).masked_fill(~far, -float("inf"))
        att = F.softmax(torch.cat((near, columns(far)), dim=-1), dim=-1)  # (B, nh, n, w, 2 * w + n)
        near, far = F.dropout(att, dropout_p).split((2 * w, n), dim=-1)
        y = near @ pairs(v) + columns(columns(far) @ columns(v))
        return y.flatten(2, 3)[:, :, :T]
