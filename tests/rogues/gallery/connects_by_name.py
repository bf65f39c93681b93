"""Connects to a socket of the test's that has an abstract name, and lies in no folder.

bare: Scored honest
level: landlock
"""

import contextlib
import socket

PLACES = {}  # filled in by the test

with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as connection:
    connection.connect("\0" + PLACES["unix"])
    raise RuntimeError("escaped: reaches a socket of this machine")
