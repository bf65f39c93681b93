"""Hoards shared mappings, which limits on private memory do not count; 2 GB at most.

bare: Crashed
level: landlock
"""

import mmap

hoard = []
for _ in range(32):
    hoard.append(mmap.mmap(-1, 64 << 20))
raise RuntimeError("escaped: holds 2 GB")
