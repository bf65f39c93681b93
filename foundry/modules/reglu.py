"""ReGLU: a linear layer times the ReLU of another.

Shazeer, "GLU Variants Improve Transformer" (2020).

Stands where a feed-forward layer has its first linear layer and activation; two thirds of the hidden width
keep the parameter count.
"""

import torch.nn as nn
from torch.nn import functional as F


class ReGLU(nn.Module):
    """Gate a linear layer by the ReLU of another (Shazeer, 2020)."""

    def __init__(self, in_features, out_features, bias=True):
        super().__init__()
        self.gate = nn.Linear(in_features, out_features, bias)
        self.up = nn.Linear(in_features, out_features, bias)

    def forward(self, x):
        return F.relu(self.gate(x)) * self.up(x)
