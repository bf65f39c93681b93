"""Sends a datagram to a socket of the test's on the loopback.

bare: Scored honest
level: landlock
"""

import contextlib
import socket

PLACES = {}  # filled in by the test

with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
    sender.sendto(b"sends_datagrams", ("127.0.0.1", PLACES["udp"]))
    raise RuntimeError("escaped: speaks UDP")
