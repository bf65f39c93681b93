"""Leave out what is nearly something that was there before: word shingles, MinHash and bands.

Two units are near when their shingles of five words, letters and digits alone, overlap by about 0.8 of their
union. The overlap is estimated from 64 minima (error about 0.05), and only between units that agree in one
band of four minima; those with an overlap of 0.8 do so with probability 0.9998. Broder 1997; Leskovec et al.,
Mining of Massive Datasets, chapter 3.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from foundry.keyed import seed_for

WORDS = 5  # in a shingle
OVERLAP = 0.8
HASHES = 64
BAND = 4  # minima in a band

_WORD = re.compile(r"\w+")
_KEYS = np.array([seed_for("minhash", i) for i in range(HASHES)], dtype=np.uint64)
_FACTOR = np.uint64(0x9E3779B97F4A7C15)  # 2**64 over the golden ratio, Knuth's multiplier


def build() -> Callable[[str], bool]:
    """Return a function that says whether a unit is new; it keeps 3 kB of each, and serves one text."""
    signatures: list[NDArray[np.uint64]] = []
    bands: dict[tuple[int, bytes], list[int]] = {}

    def is_new(unit: str) -> bool:
        signature = minima(unit)
        keys = [(i, signature[i : i + BAND].tobytes()) for i in range(0, HASHES, BAND)]
        nearby = {number for key in keys for number in bands.get(key, ())}
        if any((signatures[number] == signature).mean() >= OVERLAP for number in nearby):
            return False
        for key in keys:
            bands.setdefault(key, []).append(len(signatures))
        signatures.append(signature)
        return True

    return is_new


def minima(unit: str) -> NDArray[np.uint64]:
    """Return the least value of each of the 64 hash functions over all shingles of a unit."""
    words = _WORD.findall(unit.lower())
    shingles = [" ".join(words[i : i + WORDS]) for i in range(max(1, len(words) - WORDS + 1))]
    crc = np.array([zlib.crc32(shingle.encode("utf-8")) for shingle in shingles], dtype=np.uint64)
    mixed = (crc[:, None] ^ _KEYS) * _FACTOR  # arithmetic is modulo 2**64
    mixed = (mixed ^ (mixed >> np.uint64(32))) * _FACTOR
    least: NDArray[np.uint64] = (mixed >> np.uint64(32)).min(axis=0)
    return least
