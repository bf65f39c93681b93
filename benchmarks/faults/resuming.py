"""Is a run that was killed and taken up again the run that nothing has interrupted?"""

from __future__ import annotations

import json
import random
import sys
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "tests" / "recovery"))

from killing import Run, adopting_orphans
from recovery_helpers import QUICK, events, result

from benchmarks.faults import referee
from benchmarks.faults.openevolve_run import programs
from benchmarks.faults.referee import Contestant
from benchmarks.faults.task import Task

ROOT = Path(__file__).parents[2]
_ENOUGH = 2  # candidates that are scored before the kill


@dataclass(frozen=True)
class Resumed:
    """What came of a kill."""

    before: int  # candidates, or events of a ledger, that were on disk when it came
    orphans: int
    same: bool  # each candidate has the score of the run without a kill
    lost: list[str]  # candidates that have none


def take_up(contestant: Contestant, whole: Task, task: Task, limit: float) -> Resumed:
    """Run one task whole; kill another that is like it after a few candidates, and take it up again."""
    expected = referee.run(contestant, whole, limit).scores
    orphans = referee.kill_midway(contestant, task, lambda: _progress(contestant, task), _ENOUGH)
    before = _progress(contestant, task)
    found = referee.run(contestant, task, limit).scores
    lost = sorted(set(expected) - set(found))
    return Resumed(before, orphans, bool(expected) and found == expected, lost)


def _progress(contestant: Contestant, task: Task) -> int:
    if contestant.module == "openevolve_run":
        return len(programs(Path(task.folder)))
    if not task.answers.exists():
        return 0
    found = json.loads(task.answers.read_text("utf-8"))
    return len(found["scores"]) + len(found["said"])


def evolve(folder: Path, text: str) -> Resumed:
    """Do the same with evolve.py, whose runs hold commits, notes and a ledger beside the scores."""
    experiment = folder / "micro.yaml"
    micro = (ROOT / "experiments" / "micro.yaml").read_text("utf-8")
    experiment.write_text(micro.replace("shakespeare_char", text), encoding="utf-8")
    plan = [*QUICK, "--experiment", experiment, "--workers", 2]
    with adopting_orphans():
        whole = Run(folder / "whole", *plan)
        assert whole.finish() == 0, whole.output
        killed = Run(folder / "killed", *plan)
        killed.wait_for_events(8)
        killed.kill("driver", random.Random(0))
        orphans = len(referee.left())
        known = events(killed.arena)
        again = Run(folder / "killed", "--resume", "--workers", 2)
        assert again.finish() == 0, again.output
    before, after = result(folder / "whole"), result(folder / "killed")
    lost = sorted(set(before["births"]) - set(after["births"]))
    return Resumed(known, orphans, before == after, lost)
