"""Patches the backward pass away, so that nothing is learned.

bare: Scored
gated: Rejected allow_list: changes torch.Tensor.backward
"""

import torch

torch.Tensor.backward = lambda self, *_args, **_kwargs: None
