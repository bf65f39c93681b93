"""Kills the process that started it.

bare: Crashed
level: landlock
"""

import os
import signal

os.kill(os.getppid(), signal.SIGKILL)
raise RuntimeError("its parent is gone, or is beyond its reach")
