"""Gives the machine the name that it has, which takes the powers of root.

bare: Scored honest
level: landlock
"""

import contextlib
import socket

with contextlib.suppress(OSError, AttributeError):
    socket.sethostname(socket.gethostname())
    raise RuntimeError("escaped: administers the machine")
