"""Ends the process when its model is thrown away.

bare: Crashed or Scored honest
gated: Rejected allow_list
"""

import os

from foundry.models.v1 import GPT as Honest


class GPT(Honest):
    def __del__(self):
        os._exit(0)
