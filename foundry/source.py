"""From the source of a candidate to its module, its configuration and its model.

The only place that executes a candidate's `model.py`: the gates and the trainer go through it, inside a
trial's own process.
"""

from __future__ import annotations

import dataclasses
import hashlib
import sys
import types
from collections.abc import Mapping
from typing import Any

from torch import nn

from foundry.errors import UserError, unknown

FILENAME = "model.py"  # what tracebacks of candidate code show


def load_module(source: str) -> types.ModuleType:
    """Execute a candidate's source and return the module it makes.

    The module stays in `sys.modules`, under a name made of the source's hash: dataclasses and
    `torch.compile` look it up there.

    Raises:
        UserError: the source defines no class GPT that is an nn.Module, or no dataclass GPTConfig.
        Exception: whatever compiling or executing the source raises.
    """
    digest = hashlib.sha256(source.encode()).hexdigest()
    module = types.ModuleType(f"foundry_candidate_{digest[:16]}")
    code = compile(source, FILENAME, "exec", dont_inherit=True)
    sys.modules[module.__name__] = module
    try:
        exec(code, module.__dict__)
        _demand_interface(module)
    except BaseException:
        sys.modules.pop(module.__name__, None)
        raise
    return module


def build_config(module: types.ModuleType, model_args: Mapping[str, object]) -> Any:
    """Make the module's GPTConfig from an experiment's `model_args`.

    Raises:
        UserError: GPTConfig has no such field, or a field without default is missing.
    """
    fields = {field.name: field for field in dataclasses.fields(module.GPTConfig) if field.init}
    for key in model_args:
        if key not in fields:
            raise unknown("field of GPTConfig", key, fields)
    for name, field in fields.items():
        if _has_no_default(field) and name not in model_args:
            raise UserError(f"GPTConfig needs {name!r}, which model_args does not give")
    return module.GPTConfig(**model_args)


def build_model(module: types.ModuleType, model_args: Mapping[str, object]) -> nn.Module:
    """Make the module's GPT for `model_args`, on the current default device.

    Raises:
        UserError: as `build_config` does.
        Exception: whatever the candidate's own constructor raises.
    """
    model: nn.Module = module.GPT(build_config(module, model_args))
    return model


def _demand_interface(module: types.ModuleType) -> None:
    names = [name for name, value in vars(module).items() if isinstance(value, type)]
    for name in ("GPTConfig", "GPT"):
        if name not in names:
            raise UserError(f"{FILENAME} defines no class {name}, only {', '.join(sorted(names)) or 'none'}")
    if not dataclasses.is_dataclass(module.GPTConfig):
        raise UserError(f"GPTConfig in {FILENAME} is not a dataclass")
    if not issubclass(module.GPT, nn.Module):
        raise UserError(f"GPT in {FILENAME} is not a torch.nn.Module")


def _has_no_default(field: dataclasses.Field[Any]) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
