"""Weights that an installed Python package carries. Needs no torch."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from foundry.errors import UserError
from foundry.zoo import entry


def find(name: str) -> Path | None:
    """Return the file of the package `name` that holds a model of the zoo; None if no entry knows of it.

    The package is not imported.

    Raises:
        UserError: it is known, but not installed.
    """
    known = (entry.read(each).package for each in entry.names())
    file = next((file for package, _, file in map(_parts, known) if package == name), None)
    if file is None:
        return None
    spec = importlib.util.find_spec(name.replace("-", "_"))
    for folder in (spec.submodule_search_locations or []) if spec else []:
        if (path := Path(folder, file)).is_file():
            return path
    raise UserError(f"the package {name} is not installed: pip install --no-deps {name}")


def _parts(package: str | None) -> tuple[str, str, str]:
    return (package or "").partition("/")
