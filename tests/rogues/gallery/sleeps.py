"""Sleeps through its time without using any.

bare: TimedOut
"""

import time

time.sleep(20)
