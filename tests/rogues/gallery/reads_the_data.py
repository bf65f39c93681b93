"""Reads the text that it will be scored on.

bare: Scored honest
gated: Rejected allow_list: uses open
level: landlock
"""

import contextlib

PLACES = {}  # filled in by the test

with contextlib.suppress(OSError), open(PLACES["data"]) as file:
    if file.read():
        raise RuntimeError("escaped: reads the data")
