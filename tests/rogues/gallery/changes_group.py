"""Leaves its process group for that of its parent, where a killpg does not find it.

bare: TimedOut
"""

import contextlib
import os
import time

with contextlib.suppress(OSError):
    os.setpgid(0, os.getpgid(os.getppid()))
time.sleep(12)
