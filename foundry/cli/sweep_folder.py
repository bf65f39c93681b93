"""The folder of a sweep: its experiments for people, and a ledger of its outcomes to go on from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from foundry.cli.mutant import Mutant
from foundry.cli.paired import Side
from foundry.errors import UserError
from population.ledger import Ledger

LEDGER = "ledger.sqlite"


def identity(
    operator: str, variants: Sequence[str], sides: Sequence[Side], trial_seconds: int
) -> dict[str, Any]:
    """Return what a sweep is: the jobs that it does, and for people the words that asked for them.

    Its variants and seeds are fixed when it begins. To add seeds until a difference shows would make it show
    too often.
    """
    keys = [job.key for side in sides for chain in side.trainings for job in chain]
    return {
        "operator": operator,
        "variants": sorted(variants),
        "seeds": len(sides[0].trainings),
        "trial_seconds": trial_seconds,
        "jobs": hashlib.sha256("\n".join(sorted(keys)).encode("ascii")).hexdigest(),
    }


def default_folder(sweep: dict[str, Any]) -> Path:
    """Name a folder that no other sweep has."""
    digest = hashlib.sha256(json.dumps(sweep, sort_keys=True).encode("utf-8")).hexdigest()
    return Path("runs", "sweep", f"{sweep['operator']}-{digest[:8]}")


def open_folder(folder: Path, sweep: dict[str, Any], mutants: Sequence[Mutant]) -> Ledger:
    """Begin a sweep, or go on with the same one.

    Raises:
        UserError: the folder holds another sweep, or something else.
        LedgerError: another process is at work on it, or its ledger is damaged.
    """
    ledger = _resumed(folder, sweep) if (folder / LEDGER).exists() else _begun(folder, sweep)
    for each in mutants:
        (folder / f"{each.name}.yaml").write_text(each.source.experiment, "utf-8")
    return ledger


def _resumed(folder: Path, sweep: dict[str, Any]) -> Ledger:
    ledger = Ledger.open(folder / LEDGER)
    if ledger.settings != sweep:
        other = _words(ledger.settings)
        ledger.close()
        same = " of another baseline" if other == _words(sweep) else ""
        raise UserError(f"{folder} holds another sweep, {other}{same}: give another --out")
    return ledger


def _begun(folder: Path, sweep: dict[str, Any]) -> Ledger:
    if folder.exists() and (
        not folder.is_dir() or any(not each.name.startswith(LEDGER) for each in folder.iterdir())
    ):
        raise UserError(f"{folder} holds something else than a sweep: give another --out")
    folder.mkdir(parents=True, exist_ok=True)
    return Ledger.create(folder / LEDGER, sweep)


def _words(sweep: dict[str, Any]) -> str:
    words = f"{sweep['operator']} {' '.join(sweep['variants'])} with {sweep['seeds']} seeds"
    return f"{words} of at most {sweep['trial_seconds']} s"
