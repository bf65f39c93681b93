"""Leave out what was there before, letter for letter, but for white space at its ends."""

from __future__ import annotations

import hashlib
from collections.abc import Callable


def build() -> Callable[[str], bool]:
    """Return a function that says whether a unit is new; it keeps 16 bytes of each, and serves one text."""
    seen: set[bytes] = set()

    def is_new(unit: str) -> bool:
        digest = hashlib.blake2b(unit.encode("utf-8"), digest_size=16).digest()
        known = digest in seen
        seen.add(digest)
        return not known

    return is_new
