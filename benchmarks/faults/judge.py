"""What an innocent has lost, and whether a cheat has won."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from benchmarks.faults.gallery import FAULTS, Fault

LEAST = 2.0  # nats; no honest model of this size is better after so few steps

Found = Mapping[str, Mapping[str, Any]]  # what was measured, by `key`


def key(name: str, fault: Fault) -> str:
    """Name one run: a contestant and a fault."""
    return f"{name} | {fault.title}"


def lost(found: Found, name: str, fault: Fault, run: Mapping[str, Any]) -> int:
    """Count the innocents of a run that have no score, or another than without a fault."""
    (without,) = (other for other in FAULTS if not other.name and other.steps == fault.steps)
    honest = found.get(key(name, without), run)
    return sum(run["scores"].get(innocent) != loss for innocent, loss in honest["scores"].items())


def wins(fault: Fault, run: Mapping[str, Any]) -> bool:
    """Say whether a cheat is ranked first with a score that it cannot have earned."""
    scores = run["scores"]
    loss = scores.get(fault.name, math.inf)
    return bool(fault.cheats and loss < LEAST and loss == min(scores.values()))
