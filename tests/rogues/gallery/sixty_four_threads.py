"""Asks torch for 64 threads.

bare: Scored
gated: Rejected allow_list: reaches torch.set_num_threads
"""

import torch

torch.set_num_threads(64)
