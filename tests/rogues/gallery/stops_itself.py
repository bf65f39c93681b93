"""Stops its own process, which then hears nothing; the first of a PID namespace cannot.

bare: TimedOut or Scored honest
"""

import os
import signal

os.kill(os.getpid(), signal.SIGSTOP)
