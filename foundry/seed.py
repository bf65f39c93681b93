"""The seed model of a run, by name or path, checked without executing it and without torch."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from importlib import resources
from pathlib import Path

from foundry.adapter import adapted
from foundry.bundle import bundled, parsed
from foundry.errors import UserError, unknown
from foundry.registry import module_names


def read_model(name: str) -> str:
    """Return the source of a shipped seed model, `v1`, or of a model file by its path.

    What the file imports from its own folder is put into it, and nanoGPT's interface where it has another.

    Raises:
        UserError: there is no such model, or the file is not Python that defines a language model.
    """
    shipped = module_names("foundry/models")
    if name in shipped:
        return resources.files("foundry").joinpath(f"models/{name}.py").read_text("utf-8")
    path = Path(name)
    if not path.is_file():
        if path.suffix == ".py" or len(path.parts) > 1:
            raise UserError(f"model file {name!r} does not exist")
        raise unknown("model", name, shipped)
    return adapted(bundled(path), name)


def is_foreign(name: str) -> bool:
    """Say whether a seed model is source that Foundry did not write."""
    return name not in module_names("foundry/models")


def check_model_args(source: str, name: str, model_args: Iterable[str]) -> None:
    """Check that every model argument is a field of the model's GPTConfig.

    Raises:
        UserError: one is not; the message names the nearest field.
    """
    classes = {node.name: node for node in parsed(source, name).body if isinstance(node, ast.ClassDef)}
    fields = {
        statement.target.id
        for statement in classes["GPTConfig"].body
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name)
    }
    for argument in model_args:
        if argument not in fields:
            raise unknown(f"model argument of {name}", argument, fields)
