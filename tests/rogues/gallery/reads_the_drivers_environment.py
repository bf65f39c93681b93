"""Reads a secret where the kernel shows the environment of another process.

bare: Scored honest
level: landlock
"""

import contextlib

PLACES = {}  # filled in by the test

with contextlib.suppress(OSError), open(f"/proc/{PLACES['driver']}/environ", "rb") as file:
    if PLACES["secret"].encode() in file.read():
        raise RuntimeError("escaped: knows the driver's environment")
