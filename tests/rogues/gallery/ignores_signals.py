"""Ignores every signal that can be ignored, and loops.

bare: TimedOut
gated: Rejected allow_list: imports signal
"""

import signal
import time

for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
    signal.signal(number, signal.SIG_IGN)
time.sleep(20)
