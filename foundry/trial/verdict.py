"""What became of a trial, put together from what its processes have said and how they ended."""

from __future__ import annotations

import json
import os
import signal
from dataclasses import fields
from typing import Any

from foundry.gates.containment import one_line
from foundry.trial.outcome import Crashed, Diverged, Outcome, OutOfMemory, Rejected, Scored, decode

_OF_THE_EXAMINER = {"loss", "bits_per_byte", "function", "recalled"}
_OF_THE_SERVER = {"seconds"}
_WHOLE = {field.name for field in fields(Scored) if field.type == "int"}
_OF_THE_TRAINEE = {field.name for field in fields(Scored)} - _OF_THE_EXAMINER - _OF_THE_SERVER


def verdict(report: dict[str, Any], said: bytes, status: int, seconds: float) -> Outcome:
    """Judge a trial that has ended by itself.

    `report` is the examiner's last word, empty if there was none; `said` is what the trainee wrote, which may
    be anything; `status` is how its process ended, as waitpid gives it; `seconds` are those of the whole
    trial.
    """
    if "outcome" in report:
        return decode(json.dumps(report["outcome"]))
    try:
        body = json.loads(said)
    except ValueError:
        return Crashed(reason=f"the trial's process {_ending(status)}")
    if isinstance(body, dict) and _are_costs(body):
        if "loss" in report:
            return Scored(**body, **report, seconds=seconds)
        return Crashed(reason="its scoring ended without an answer")
    return _failure(body) or Crashed(reason="the trial's process said what it may not say")


def _are_costs(body: dict[str, Any]) -> bool:
    return set(body) == _OF_THE_TRAINEE and all(
        type(value) in ((int,) if name in _WHOLE else (int, float)) and 0 <= value < 1e30
        for name, value in body.items()
    )


def _failure(body: Any) -> Outcome | None:
    """Read a failure, of which a candidate may have chosen every word."""
    match body:
        case {"kind": "Rejected", "gate": str(gate), "reason": str(reason)}:
            return Rejected(gate=one_line(gate), reason=one_line(reason))
        case {"kind": "Crashed", "reason": str(reason)}:
            return Crashed(reason=one_line(reason))
        case {"kind": "OutOfMemory", "reason": str(reason)}:
            return OutOfMemory(reason=one_line(reason))
        case {"kind": "Diverged", "step": int(step)} if 0 <= step < 1 << 53:
            return Diverged(step=int(step))
    return None


def _ending(status: int) -> str:
    code = os.waitstatus_to_exitcode(status)
    return f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with status {code}"
