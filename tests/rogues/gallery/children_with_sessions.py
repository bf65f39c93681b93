"""Starts children in sessions of their own, which outlive a killed group.

bare: Scored honest
"""

import os
import time

for _ in range(3):
    try:
        child = os.fork()
    except OSError:
        break
    if child == 0:
        os.setsid()
        time.sleep(20)
        os._exit(0)
