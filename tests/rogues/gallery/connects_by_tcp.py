"""Connects to a listener of the test's on the loopback.

bare: Scored honest
gated: Rejected allow_list: imports socket
level: landlock
"""

import contextlib
import socket

PLACES = {}  # filled in by the test

with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", PLACES["tcp"]), 1) as connection:
    connection.sendall(b"connects_by_tcp")
    raise RuntimeError("escaped: speaks TCP")
