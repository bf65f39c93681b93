"""Cheap tests that a candidate must pass before it may train: one gate per file, run in order of cost.

A gate is a module of this package that declares `ORDER`, a number no other gate has, and `examine(subject)`,
which returns None, or one line that says what failed and where. Adding a gate is adding its file.

A gate may raise whatever candidate code raises: that is a failure too. What the gates do not cover: time and
memory (the trial's limits stop those), and a model that behaves here and cheats later in training.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass

from foundry.gates.containment import contained, describe, one_line
from foundry.gates.subject import Subject

__all__ = ["Failure", "Subject", "check", "names", "run"]


@dataclass(frozen=True)
class Failure:
    """The gate that stopped a candidate, and one line on what failed and where."""

    gate: str
    reason: str


def check(subject: Subject) -> Failure | None:
    """Run every gate in order and return the first failure; None if the candidate passes all.

    Leaves torch's random state, grad mode, default dtype and thread count as they were. Never raises for
    anything the candidate does.
    """
    for name in names():
        failure = run(name, subject)
        if failure is not None:
            return failure
    return None


def names() -> list[str]:
    """List the gates in the order in which they run."""
    return list(_GATES)


def run(name: str, subject: Subject) -> Failure | None:
    """Run one gate by name, as `check` does."""
    examine = _GATES[name]
    try:
        with contained():
            reason = examine(subject)
    except KeyboardInterrupt:  # a person's; candidate source may not name it (see allow_list)
        raise
    except BaseException as error:
        reason = describe(error)
    return None if reason is None else Failure(name, one_line(reason))


def _found() -> dict[str, Callable[[Subject], str | None]]:
    modules = [
        importlib.import_module(f"{__name__}.{found.name}") for found in pkgutil.iter_modules(__path__)
    ]
    gates = sorted((module for module in modules if hasattr(module, "ORDER")), key=lambda gate: gate.ORDER)
    assert len({gate.ORDER for gate in gates}) == len(gates), "two gates share an ORDER"
    return {gate.__name__.rpartition(".")[2]: gate.examine for gate in gates}


_GATES = _found()  # here, so that a server that imports this package has them all before it forks
