"""Asks whoever is at the other end of its descriptors for what cannot be given.

bare: Crashed
"""

import contextlib
import json
import os
import struct

wishes = [
    {"op": "draw", "step": -1, "total": 0},
    {"op": "rows", "single": {}, "block_size": 1e308},
    {"op": "examine", "weights": "/etc/shadow", "steps": "all", "block_size": -1},
    {"op": ["known"] * 1000},
]
for descriptor in range(3, 256):
    with contextlib.suppress(OSError):
        os.set_blocking(descriptor, False)
        for wish in wishes:
            body = json.dumps(wish).encode()
            os.write(descriptor, struct.pack(">I", len(body)) + body)
os._exit(0)
