"""Seeds made from names, so that nothing random depends on what happened before it."""

from __future__ import annotations

import hashlib


def seed_for(*parts: int | str) -> int:
    """Derive a 63-bit seed from a sequence of names and numbers, the same on every machine."""
    digest = hashlib.blake2b(repr(parts).encode("utf-8"), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1
