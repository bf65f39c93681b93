"""The faults, most of them from tests/rogues/gallery, and the innocents that run before, beside and after."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "tests" / "rogues"))

from rogues_helpers import V1, gallery

STEPS = 20
INNOCENTS = 5  # of a run: one before the fault, the others beside and after it
LONGER = 105


@dataclass(frozen=True)
class Fault:
    """A candidate that does harm, and what it is called in the table."""

    title: str
    name: str  # of a rogue, or of a file here
    cheats: bool = False  # has won wrongly where it is ranked first
    steps: int = STEPS


FAULTS = (
    Fault("no fault", ""),
    Fault("no fault, longer", "", steps=LONGER),
    Fault("loops for ever at import", "loops_at_import"),
    Fault("sleeps past its time", "sleeps"),
    Fault("`os._exit` while it is scored", "silent_death"),
    Fault("SIGSEGV", "faults"),
    Fault("hoards memory (3 GB at most)", "eats_memory_in_python"),
    Fault("children that call `setsid`", "children_with_sessions"),
    Fault("deletes files of others", "deletes_outside"),
    Fault("writes 200 MB of output", "huge_output"),
    Fault("patches `F.cross_entropy`", "patched_cross_entropy", cheats=True),
    Fault("sees the next token when scored", "future_in_eval", cheats=True),
    Fault("… after 100 steps only", "future_after_training", cheats=True, steps=LONGER),
    Fault("recites validation data found in memory", "recites_memory", cheats=True),
)


def sources(fault: Fault, victim: Path) -> dict[str, str]:
    """Return the candidates of one run by name, in their order; `victim` is a folder to do harm to."""
    found = {_innocent(number): _variant(number) for number in range(INNOCENTS)}
    if fault.name:
        found = {_innocent(0): found.pop(_innocent(0)), fault.name: _source(fault.name, victim), **found}
    return {name: f"# candidate: {name}\n{text}" for name, text in found.items()}


def _innocent(number: int) -> str:
    return f"innocent{number}"


def _variant(number: int) -> str:
    """Return v1 with a start of its own, so that every innocent has a score of its own."""
    changed = V1.replace("std=0.02", f"std={0.02 + 0.002 * number:.3f}")
    assert number == 0 or changed != V1
    return changed


def _source(name: str, victim: Path) -> str:
    places = {"folders": [str(victim)], "mark": "faults"}
    start = ("std=0.02", "std=0.03")  # what starts as an innocent does would be taken for it
    own = Path(__file__).with_name(f"{name}.txt")
    if own.exists():
        return f"{V1}\n\nHonest, Calm = GPT, GPTConfig\n\n{own.read_text('utf-8')}".replace(*start)
    (rogue,) = (rogue for rogue in gallery() if rogue.name == name)
    return rogue.source(places).replace(*start)
