"""Attaches to the driver as a debugger does, and lets go again.

bare: Scored honest
level: landlock
"""

import ctypes

PLACES = {}  # filled in by the test

PTRACE_SEIZE, PTRACE_INTERRUPT, PTRACE_DETACH = 0x4206, 0x4207, 17
if ctypes.CDLL(None).ptrace(PTRACE_SEIZE, PLACES["driver"], None, None) == 0:
    raise RuntimeError("escaped: traces the driver")  # which is let go when this process ends
