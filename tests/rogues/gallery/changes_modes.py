"""Makes files unreadable that do not belong to it, and old.

bare: Scored honest
level: landlock
"""

import contextlib
import os
from pathlib import Path

PLACES = {}  # filled in by the test

for folder in PLACES["folders"]:
    with contextlib.suppress(OSError):
        os.utime(folder, (0, 0))
    with contextlib.suppress(OSError):
        os.chmod(Path(folder, "canary.txt"), 0)
