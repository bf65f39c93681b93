"""Patches what saves a checkpoint into something that saves everywhere, and that raises.

bare: Scored honest or Crashed
"""

import sys


def saved(*_args, **_kwargs):
    raise SystemExit("nothing is saved")


for name, module in list(sys.modules.items()):
    if name.startswith(("foundry.", "safetensors")) and hasattr(module, "save_file"):
        module.save_file = saved
