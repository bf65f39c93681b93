"""What a rogue declares, how it is made into a candidate, and whether what came of it is what it declared.

A rogue is a file of the gallery: what its author adds to the seed model v1, below a docstring that says what
must come of it:

    bare: what comes of it with the gates switched off, as if it had found a hole in each of them
    gated: what comes of it behind the gates; left out where that is nothing to learn from
    level: the weakest sandbox that contains it, `process` where nothing is said
    steps: updates of its training
    rungs: trainings of so many updates each, one going on from the other

An expectation is one kind of outcome, or several with `or` between them, and then words of the reason for a
failure. `Scored honest` is the very score of v1, to the last bit.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib import resources
from pathlib import Path

from foundry.trial.outcome import Crashed, Diverged, Outcome, OutOfMemory, Rejected, Scored

LEVELS = ("process", "landlock", "bwrap")
STEPS = 5
V1 = resources.files("foundry").joinpath("models/v1.py").read_text("utf-8")

_KIND = "Scored honest|Scored|Rejected|Crashed|TimedOut|OutOfMemory|Diverged"
_EXPECTATION = re.compile(rf"((?:{_KIND})(?: or (?:{_KIND}))*)(?: (.+))?")
_BASE = re.compile(r"^from foundry\.models\.v1 import .*\n", re.MULTILINE)
_PLACES = "PLACES = {}  # filled in by the test\n"
_KEYS = {"bare", "gated", "level", "steps", "rungs"}
_LONGEST = 500  # characters
_LEAST = 2.0  # nats; no honest model of this size is better after so few steps


@dataclass(frozen=True)
class Expectation:
    """What must come of a rogue."""

    kinds: tuple[str, ...]
    words: str

    @classmethod
    def read(cls, text: str) -> Expectation:
        """Read a line of a docstring."""
        found = _EXPECTATION.fullmatch(text)
        assert found, f"{text!r} is not an expectation"
        return cls(tuple(found[1].split(" or ")), found[2] or "")

    def complaint(self, outcome: Outcome, honest: float) -> str | None:
        """Say what is wrong with an outcome, None if nothing is."""
        told = words(outcome)
        if not _well_formed(outcome, told):
            return f"not fit to be shown or counted: {outcome!r:.200}"
        kinds = {type(outcome).__name__}
        if isinstance(outcome, Scored):
            if outcome.loss < _LEAST:
                return f"a score that cannot be honest: {outcome.loss}"
            if outcome.loss == honest:
                kinds.add("Scored honest")
        if "escaped" in told:
            return told
        if not kinds & set(self.kinds) or (told and self.words not in told):
            return f"{outcome} instead of {' or '.join(self.kinds)} {self.words}, honest is {honest}"
        return None


@dataclass(frozen=True)
class Rogue:
    """A file of the gallery."""

    name: str
    text: str

    @cached_property
    def declared(self) -> Mapping[str, str]:
        """What the docstring says after its prose."""
        lines = (ast.get_docstring(ast.parse(self.text)) or "").rpartition("\n\n")[2].splitlines()
        found = dict(line.split(": ", 1) for line in lines)
        assert {"bare"} <= found.keys() <= _KEYS, f"{self.name} declares {sorted(found)}"
        return found

    @property
    def level(self) -> str:
        """The weakest sandbox that contains it."""
        return self.declared.get("level", LEVELS[0])

    def expects(self, gates: str) -> Expectation | None:
        """What must come of it when it is `bare` or `gated`."""
        text = self.declared.get(gates)
        return None if text is None else Expectation.read(text)

    def rungs(self) -> list[int]:
        """Updates of its training, one number for each trial."""
        steps = int(self.declared.get("steps", STEPS))
        return [steps * rung for rung in range(1, 1 + int(self.declared.get("rungs", 1)))]

    def source(self, places: Mapping[str, object]) -> str:
        """Make its model.py: v1, called Honest, with this below; `places` say where to do harm."""
        text = _BASE.sub("", self.text).replace(_PLACES, f"PLACES = {dict(places)!r}\n")
        return f"{V1}\n\nHonest, Calm = GPT, GPTConfig\n\n{text}"


def _well_formed(outcome: Outcome, told: object) -> bool:
    """Whether what a candidate may have had a hand in is of its type, printable, and not endless."""
    if isinstance(outcome, Diverged):
        return type(outcome.step) is int
    return isinstance(told, str) and len(told) <= _LONGEST and told.isprintable()


def words(outcome: Outcome) -> str:
    """Say in words what became of a trial, as far as it says so itself."""
    match outcome:
        case Rejected(gate=gate, reason=reason):
            return f"{gate}: {reason}"
        case Crashed(reason=reason) | OutOfMemory(reason=reason):
            return reason
        case Diverged(step=step):
            return f"step={step}"
        case _:
            return ""


def gallery() -> list[Rogue]:
    """Read every rogue that there is, by name."""
    files = sorted(Path(__file__).parent.joinpath("gallery").glob("*.py"))
    return [Rogue(path.stem, path.read_text("utf-8")) for path in files]
