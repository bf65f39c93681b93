"""RMSNorm: layer normalisation without centring and without bias.

Zhang and Sennrich, "Root Mean Square Layer Normalization" (2019).
"""

import torch
import torch.nn as nn
from torch.nn import functional as F


class RMSNorm(nn.Module):
    """Scale by the root mean square over the last dimension (Zhang and Sennrich, 2019)."""

    def __init__(self, ndim, eps=1e-5):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(ndim))
        self.eps = eps

    def forward(self, x):
        return F.rms_norm(x, self.weight.shape, self.weight, self.eps)
