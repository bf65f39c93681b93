"""Writes a note while it trains, for the processes that answer with its weights.

bare: Scored honest
level: landlock
"""

import contextlib

from foundry.models.v1 import GPT as Honest


class GPT(Honest):
    def forward(self, idx, targets=None):
        if self.training:
            self.__dict__["here"] = True
            with open("note", "w") as file:
                file.write("what the batches were")
        elif "here" not in self.__dict__:
            with contextlib.suppress(OSError), open("note") as file:
                if file.read():
                    raise RuntimeError("escaped: reads what the one that trained has left")
        return super().forward(idx, targets)
