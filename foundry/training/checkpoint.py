"""Parameters and optimizer state in one safetensors file; never a pickle."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn


def save(path: Path, model: nn.Module, optimizers: Sequence[torch.optim.Optimizer], step: int) -> None:
    """Write everything that training from `step` on needs; the file appears whole or not at all."""
    tensors = {f"model.{name}": tensor for name, tensor in _tensors(model).items()}
    for i, optimizer in enumerate(optimizers):
        for index, state in optimizer.state_dict()["state"].items():
            for key, value in state.items():
                tensors[f"optimizer.{i}.{index}.{key}"] = torch.as_tensor(value)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(f".{os.getpid()}.partial")
    # clones, for safetensors refuses tensors that share memory, as two views of one table do
    own = {name: t.detach().clone(memory_format=torch.contiguous_format) for name, t in tensors.items()}
    try:
        save_file(own, partial, {"step": str(step)})
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def load(path: Path, model: nn.Module, optimizers: Sequence[torch.optim.Optimizer]) -> int:
    """Restore what `save` wrote into a model and optimizers built alike; return the step to go on from.

    Raises:
        ValueError: the file is damaged or belongs to another model.
    """
    try:
        with safe_open(path, framework="pt") as file:
            stored = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            step = int(file.metadata()["step"])
    except (SafetensorError, OSError, TypeError, KeyError) as error:
        raise ValueError(f"checkpoint {path.name} cannot be read: {error}") from None
    own = _tensors(model)
    theirs = {name.removeprefix("model."): t for name, t in stored.items() if name.startswith("model.")}
    if {n: t.shape for n, t in own.items()} != {n: t.shape for n, t in theirs.items()}:
        raise ValueError(f"checkpoint {path.name} belongs to another model")
    with torch.no_grad():
        for name, tensor in own.items():
            tensor.copy_(theirs[name])
    for i, optimizer in enumerate(optimizers):
        _restore(optimizer, f"optimizer.{i}.", stored)
    return step


def _tensors(model: nn.Module) -> dict[str, Tensor]:
    """Name every parameter and persistent buffer once, tied ones by their first name."""
    seen: set[int] = set()
    found = {}
    for name, tensor in model.state_dict(keep_vars=True).items():
        if id(tensor) not in seen:
            seen.add(id(tensor))
            found[name] = tensor
    return found


def _restore(optimizer: torch.optim.Optimizer, prefix: str, stored: dict[str, Tensor]) -> None:
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in stored.items():
        if name.startswith(prefix):
            index, _, key = name.removeprefix(prefix).partition(".")
            state.setdefault(int(index), {})[key] = tensor
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
