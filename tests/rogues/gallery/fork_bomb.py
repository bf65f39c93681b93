"""Forks 40 children, each of which would sleep for 20 seconds.

bare: Scored honest
"""

import os
import time

for _ in range(40):
    try:
        child = os.fork()
    except OSError:
        break
    if child == 0:
        time.sleep(20)
        os._exit(0)
