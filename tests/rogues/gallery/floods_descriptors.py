"""Writes up to 32 MB of noise to every descriptor that it holds.

bare: Crashed or TimedOut
"""

import contextlib
import os

for descriptor in range(3, 256):
    with contextlib.suppress(OSError):
        for _ in range(32):
            os.write(descriptor, b'{"a": ' * (1 << 17))
os._exit(0)
