"""Reads the weights of another candidate.

bare: Scored honest
level: landlock
"""

import contextlib

PLACES = {}  # filled in by the test

with contextlib.suppress(OSError), open(PLACES["checkpoint"], "rb") as file:
    if file.read():
        raise RuntimeError("escaped: reads another's weights")
