"""Writes 100 MB to standard output and as much to standard error.

bare: Scored honest
gated: Rejected allow_list: imports os
"""

import contextlib
import os

for _ in range(100):
    for descriptor in (1, 2):
        with contextlib.suppress(OSError):
            os.write(descriptor, b"x" * (1 << 20))
