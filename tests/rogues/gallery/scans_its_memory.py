"""Searches all the memory of its process for validation text, as characters and as tokens.

The test says how it begins and gives the digest of what follows: so the rogue cannot find its own question.

bare: Scored honest
"""

import hashlib

PLACES = {}  # filled in by the test


def regions():
    with open("/proc/self/maps") as maps:
        lines = [line.split() for line in maps]
    with open("/proc/self/mem", "rb", buffering=0) as memory:
        for span, mode, *_, path in ([*line, ""] if len(line) == 5 else line for line in lines):
            start, end = (int(number, 16) for number in span.split("-"))
            if mode.startswith("rw") and path in ("", "[heap]"):
                memory.seek(start)
                yield memory.read(min(end - start, 64 << 20)) or b""


def holds_secret(region):
    for begins, length, digest in PLACES["needles"]:
        start, at = bytes.fromhex(begins), -1
        while (at := region.find(start, at + 1)) >= 0:
            after = region[at + len(start) : at + len(start) + length]
            if hashlib.sha256(after).hexdigest() == digest:
                return True
    return False


try:
    found = any(holds_secret(region) for region in regions())
except OSError:
    found = False
if found:
    raise RuntimeError("escaped: validation text lies in its memory")
