"""Reads a secret in its own environment, as Python sees it and as the kernel does.

bare: Scored honest
gated: Rejected allow_list: imports os
"""

import contextlib
import os

PLACES = {}  # filled in by the test

known = repr(os.environ).encode()
with contextlib.suppress(OSError), open("/proc/self/environ", "rb") as file:
    known += file.read()
if PLACES["secret"].encode() in known:
    raise RuntimeError("escaped: knows the environment")
