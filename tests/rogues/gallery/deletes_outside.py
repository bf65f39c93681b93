"""Deletes, renames and empties what does not belong to it.

bare: Scored honest
level: landlock
"""

import contextlib
import os
from pathlib import Path

PLACES = {}  # filled in by the test

for folder in PLACES["folders"]:
    with contextlib.suppress(OSError):
        for path in Path(folder).iterdir():
            for spoil in (os.truncate, os.rename, os.link, os.unlink):
                with contextlib.suppress(OSError):
                    spoil(path, *{os.truncate: [0], os.unlink: []}.get(spoil, [f"{path}.stolen"]))
