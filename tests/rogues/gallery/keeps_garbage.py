"""Turns the garbage collector off, and makes garbage.

bare: Scored honest
gated: Rejected allow_list: imports gc
"""

import gc

gc.disable()
for _ in range(10_000):
    ring = []
    ring.append(ring)
