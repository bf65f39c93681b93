"""Does not come back from being built.

bare: TimedOut
"""

import time

from foundry.models.v1 import GPT as Honest


class GPT(Honest):
    def __init__(self, config):
        super().__init__(config)
        time.sleep(20)
