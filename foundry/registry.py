"""Parts that are found by the name of their file: adding one is adding a file."""

from __future__ import annotations

import importlib
from importlib import resources
from types import ModuleType

from foundry.errors import unknown


def module_names(package: str) -> list[str]:
    """List the parts in a package given as a path, `foundry/training/schedules`, without importing any."""
    root, _, below = package.partition("/")
    folder = resources.files(root).joinpath(below)
    names = (entry.name.removesuffix(".py") for entry in folder.iterdir() if entry.name.endswith(".py"))
    return sorted(name for name in names if not name.startswith("_"))


def load_part(package: str, kind: str, name: str) -> ModuleType:
    """Import the part `name`.

    Raises:
        UserError: there is none of that name; the message names the nearest `kind`.
    """
    names = module_names(package)
    if name not in names:
        raise unknown(kind, name, names)
    return importlib.import_module(f"{package.replace('/', '.')}.{name}")
