"""Has a timer kill the process that it runs in; the first of a PID namespace does not mind.

bare: Crashed or Scored honest
"""

import signal
import time

signal.setitimer(signal.ITIMER_REAL, 0.01)
time.sleep(0.5)
