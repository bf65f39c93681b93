"""Put a winner in the place of the baseline, and keep the one before."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import operators
from foundry.cli.mutant import with_edit
from foundry.errors import UserError
from operators import Edit, Source


def promoted(parent: Source, edit: Edit) -> Source:
    """Return the baseline with the edit made, under its own name still."""
    child = operators.apply(parent, edit)
    origin = f"# Promoted by `foundry sweep {edit.operator} {edit.variant}`: {operators.words(edit)}.\n"
    return Source(child.model, origin + with_edit(parent, child, edit))


def replace_baseline(path: Path, before: str, after: str, variant: str) -> Path:
    """Write the new baseline; return where the old one is kept, as NAME.before-VARIANT.yaml.

    At any moment the file is the old one or the new one, whole, and nothing that is there is overwritten.

    Raises:
        UserError: the file is no longer what `before` says.
    """
    path = path.resolve()  # what a link points at changes; the link stays
    if path.read_text("utf-8") != before:
        raise UserError(f"{path} was changed while the sweep ran: nothing is promoted")
    kept = _keep(path, variant)
    draft = path.with_name(f".{path.name}.new")
    with draft.open("w", encoding="utf-8") as file:
        file.write(after)
        file.flush()
        os.fsync(file.fileno())
    shutil.copymode(path, draft)
    draft.replace(path)
    return kept


def _keep(path: Path, variant: str) -> Path:
    number = 1
    while True:
        mark = f"-{number}" if number > 1 else ""
        kept = path.with_name(f"{path.stem}.before-{variant}{mark}{path.suffix}")
        try:
            with kept.open("xb") as file:
                file.write(path.read_bytes())
        except FileExistsError:
            number += 1
            continue
        return kept
