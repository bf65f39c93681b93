"""Gated linear unit: a linear layer times the sigmoid of another.

Dauphin et al., "Language Modeling with Gated Convolutional Networks" (2017).

Stands where a feed-forward layer has its first linear layer and activation; two thirds of the hidden width
keep the parameter count.
"""

import torch
import torch.nn as nn


class GLU(nn.Module):
    """Gate a linear layer by the sigmoid of another (Dauphin et al., 2017)."""

    def __init__(self, in_features, out_features, bias=True):
        super().__init__()
        self.gate = nn.Linear(in_features, out_features, bias)
        self.up = nn.Linear(in_features, out_features, bias)

    def forward(self, x):
        return torch.sigmoid(self.gate(x)) * self.up(x)
