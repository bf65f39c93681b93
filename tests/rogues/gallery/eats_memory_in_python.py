"""Hoards byte strings, 3 GB at most, which it does not touch.

bare: OutOfMemory
gated: Rejected instantiate: MemoryError
"""

hoard = [bytes(64 << 20) for _ in range(48)]
raise RuntimeError("escaped: holds 3 GB")
