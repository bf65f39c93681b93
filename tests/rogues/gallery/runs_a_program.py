"""Runs another program, in a session of its own, that would sleep for 20 seconds.

bare: Scored honest
gated: Rejected allow_list: imports subprocess
"""

import contextlib
import subprocess
import sys

PLACES = {}  # filled in by the test

with contextlib.suppress(OSError):
    command = [sys.executable, "-S", "-c", "import time; time.sleep(20)", PLACES["mark"]]
    subprocess.Popen(command, start_new_session=True)
