"""The folder of one training: free for a new one, or holding the one to go on with. Needs no torch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from foundry.errors import UserError


def require_free(folder: Path) -> None:
    """Check that there is room for a new training.

    Raises:
        UserError: the folder holds a training already.
    """
    if (folder / "experiment.yaml").exists():
        raise UserError(
            f"{folder} holds a training already: --resume goes on with it, --out names another folder"
        )


def make(folder: Path, files: Mapping[str, str]) -> None:
    """Make the folder of a new training with the files that say what it is."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(text, "utf-8")


def require_same(folder: Path, files: Mapping[str, str]) -> None:
    """Check that the training in the folder is the one that these files say.

    Raises:
        UserError: there is none, or it is another.
    """
    for name, text in files.items():
        if not (folder / name).is_file():
            raise UserError(f"{folder} holds no training to resume")
        if (folder / name).read_text("utf-8") != text:
            raise UserError(
                f"{folder / name} is of another training: give the same settings, data and seed, "
                "or another --out"
            )
