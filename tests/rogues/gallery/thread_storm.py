"""Starts 100 threads that would sleep for 20 seconds.

bare: Scored honest
"""

import contextlib
import threading
import time

with contextlib.suppress(RuntimeError):
    for _ in range(100):
        threading.Thread(target=time.sleep, args=(20,)).start()
