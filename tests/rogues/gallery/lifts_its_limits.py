"""Lifts the limits of its process, as root may, then hoards 3 GB at most, which it does not touch.

bare: OutOfMemory
"""

import contextlib
import resource

for kind in (resource.RLIMIT_DATA, resource.RLIMIT_AS):
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(kind, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
hoard = [bytes(64 << 20) for _ in range(48)]
raise RuntimeError("escaped: holds 3 GB")
