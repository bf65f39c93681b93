"""Sends the driver a signal.

bare: Scored honest
level: landlock
"""

import contextlib
import os
import signal

PLACES = {}  # filled in by the test

with contextlib.suppress(OSError):
    os.kill(PLACES["driver"], signal.SIGUSR1)
