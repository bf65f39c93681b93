"""Makes float64 the default of its process.

bare: Scored
gated: Rejected allow_list: reaches torch.set_default_dtype
"""

import torch

torch.set_default_dtype(torch.float64)
