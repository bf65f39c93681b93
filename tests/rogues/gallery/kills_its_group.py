"""Kills every process of its group, of which the first of a PID namespace is not one for it.

bare: Crashed or Scored honest
"""

import os
import signal

os.killpg(0, signal.SIGKILL)
