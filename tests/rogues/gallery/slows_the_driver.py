"""Lowers the driver's priority by one.

bare: Scored honest
level: landlock
"""

import contextlib
import os

PLACES = {}  # filled in by the test

with contextlib.suppress(OSError):
    nice = os.getpriority(os.PRIO_PROCESS, PLACES["driver"])
    os.setpriority(os.PRIO_PROCESS, PLACES["driver"], nice + 1)
    raise RuntimeError("escaped: slows the driver")
