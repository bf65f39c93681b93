"""Checkpoints that cannot be gone on from. Dropping one costs time, never a result."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from safetensors import SafetensorError, safe_open

from foundry.trial.job import FUNCTIONS
from genome.fault import Fault


def faults(folder: Path) -> Iterator[Fault]:
    """Find damaged and half-written files among the checkpoints of a run that is not at work."""
    for path in sorted(folder.glob("*/*")):
        if path.parent.name == FUNCTIONS:
            what = "" if path.suffix == ".json" and _is_score(path) else "is no score"
        elif path.suffix == ".partial":
            what = "was never finished"
        else:
            what = "is damaged" if path.suffix == ".safetensors" and not _opens(path) else ""
        if what:
            yield Fault(
                what=f"checkpoints/{path.parent.name[:12]}/{path.name[:24]} {what}",
                remedy="drop it",
                mend=partial(path.unlink, missing_ok=True),
            )


def _opens(path: Path) -> bool:
    """Read the header, which must account for every byte of the file."""
    try:
        with safe_open(path, framework="numpy") as file:
            return {"step", "optimizers", "vocab_size"} <= set(file.metadata() or {})
    except (SafetensorError, OSError, ValueError):
        return False


def _is_score(path: Path) -> bool:
    """Read nats per token and bits per byte, as foundry/trial/functions.py writes them."""
    try:
        loss, bits = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, TypeError):
        return False
    return isinstance(loss, float) and isinstance(bits, float)
