"""Sends the message of a failure that is none: text where a number belongs, and colours for a terminal.

bare: Crashed
"""

import contextlib
import json
import os
import stat

failure = {"kind": "Diverged", "step": {"red": "\x1b[31m"}}
for descriptor in range(3, 256):
    with contextlib.suppress(OSError):
        if stat.S_ISFIFO(os.fstat(descriptor).st_mode):
            os.write(descriptor, json.dumps(failure).encode())
os._exit(0)
