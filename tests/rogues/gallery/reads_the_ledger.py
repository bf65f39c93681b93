"""Reads the ledger of the run.

bare: Scored honest
level: landlock
"""

import contextlib

PLACES = {}  # filled in by the test

with contextlib.suppress(OSError), open(PLACES["ledger"], "rb") as file:
    if file.read():
        raise RuntimeError("escaped: reads the ledger")
