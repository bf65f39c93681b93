"""Writes into every folder that it is told of, and into a few that it guesses.

bare: Scored honest
gated: Rejected allow_list
level: landlock
"""

import contextlib
import os
import tempfile
from pathlib import Path

PLACES = {}  # filled in by the test

for folder in [*PLACES["folders"], os.getcwd(), os.path.expanduser("~"), tempfile.gettempdir(), "/dev/shm"]:
    with contextlib.suppress(OSError):
        Path(folder, PLACES["mark"].strip("/").replace("/", "-")).write_text("writes_outside")
