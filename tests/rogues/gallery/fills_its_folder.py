"""Leaves 100 MB beside its checkpoint, in files that are small enough one by one.

bare: Scored honest or Crashed
"""

import contextlib
import sys
from pathlib import Path

frame = sys._getframe()
while frame is not None:
    folder = getattr(frame.f_locals.get("self"), "folder", None)
    frame = frame.f_back
    for number in range(25) if isinstance(folder, Path) else ():
        with contextlib.suppress(OSError):
            (folder / f"waste-{number}").write_bytes(bytes(4 << 20))
