"""Has a configuration with one layer more each time that it is read.

bare: Crashed or Scored or Rejected
gated: Rejected
"""

from dataclasses import dataclass

from foundry.models.v1 import GPTConfig as Calm


@dataclass
class GPTConfig(Calm):
    readings = 0

    def __getattribute__(self, name):
        value = object.__getattribute__(self, name)
        if name != "n_layer":
            return value
        GPTConfig.readings = (GPTConfig.readings + 1) % 4
        return value + GPTConfig.readings
