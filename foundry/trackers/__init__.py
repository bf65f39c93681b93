"""Where a training's figures go beside its own JSON lines: a module here for each kind, found by its name.

A module defines `start(folder, step)`, which opens what lies in the folder of a training, or makes it, and
forgets points that are there of steps after `step`: a training that was killed does them again.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from foundry.registry import load_part


class Tracker(Protocol):
    """Something that shows figures to people."""

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Note figures by name, as they are after `step` updates; names may differ from call to call."""
        ...

    def close(self) -> None:
        """Write what is not written yet."""
        ...


def start(name: str, folder: Path, step: int) -> Tracker:
    """Open the tracker of that name for a training that goes on after `step` updates.

    Raises:
        UserError: there is none of that name, or it needs a package that is not installed.
    """
    tracker: Tracker = load_part("foundry/trackers", "tracker", name).start(folder, step)
    return tracker
