"""Parameters and optimizer state in one safetensors file; never a pickle.

The file is the same however many processes trained the model, and on whatever device: tensors are whole and
on the CPU, so any number of processes can go on from it.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from foundry.training.distributed import shared_like, whole
from foundry.training.vocabulary import vocab_size
from foundry.training.world import ALONE, World


def save(
    path: Path,
    model: nn.Module,
    optimizers: Sequence[torch.optim.Optimizer],
    step: int,
    world: World = ALONE,
    *,
    leave_out: Collection[str] = (),
) -> None:
    """Write everything that training from `step` on needs; the file appears whole or not at all.

    Tensors of the model that `leave_out` names are not written: those that do not change, say.
    All processes of the world must call it, for each may hold a part; the first one writes.
    """
    own: dict[str, Tensor] = {}
    places: set[int] = set()
    for name, tensor in _everything(model, optimizers, leave_out).items():
        full = whole(tensor.detach())
        if world.first:
            full = full.cpu().contiguous()
            place = full.untyped_storage().data_ptr()
            # two views of one table share memory, which safetensors refuses
            own[name] = full.clone() if place in places else full
            places.add(place)
    if world.first:
        _write(
            path,
            own,
            {"step": str(step), "optimizers": _kinds(optimizers), "vocab_size": str(vocab_size(model))},
        )


def load(
    path: Path,
    model: nn.Module,
    optimizers: Sequence[torch.optim.Optimizer],
    *,
    leave_out: Collection[str] = (),
) -> int:
    """Restore what `save` wrote into a model and optimizers built alike; return the step to go on from.

    What was left out is left as it is.

    Raises:
        ValueError: the file is damaged, or of another model, vocabulary or kind of optimizer.
    """
    try:
        with safe_open(path, framework="pt") as file:
            stored = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            about = {key: file.metadata()[key] for key in ("step", "optimizers", "vocab_size")}
            digest = file.metadata().get("sha256", "")  # files written before there was one have none
    except (SafetensorError, OSError, TypeError, KeyError) as error:
        raise ValueError(f"checkpoint {path.name} cannot be read: {error}") from None
    if digest not in ("", _digest(stored, about)):
        raise ValueError(f"checkpoint {path.name} is damaged: its content is not what was written")
    own = _tensors(model, leave_out)
    theirs = {name.removeprefix("model."): t for name, t in stored.items() if name.startswith("model.")}
    if reason := _mismatch(about, own, theirs, model, optimizers):
        raise ValueError(f"checkpoint {path.name} {reason}")
    with torch.no_grad():
        for name, tensor in own.items():
            tensor.copy_(shared_like(theirs[name], tensor))
    for i, optimizer in enumerate(optimizers):
        _restore(optimizer, f"optimizer.{i}.", stored)
    return int(about["step"])


def _everything(
    model: nn.Module, optimizers: Sequence[torch.optim.Optimizer], leave_out: Collection[str]
) -> dict[str, Tensor]:
    found = {f"model.{name}": tensor for name, tensor in _tensors(model, leave_out).items()}
    for i, optimizer in enumerate(optimizers):
        for index, state in optimizer.state_dict()["state"].items():
            for key, value in state.items():
                found[f"optimizer.{i}.{index}.{key}"] = torch.as_tensor(value)
    return found


def _tensors(model: nn.Module, leave_out: Collection[str]) -> dict[str, Tensor]:
    """Name every parameter and persistent buffer once, tied ones by their first name."""
    seen: set[int] = set()
    found = {}
    for name, tensor in model.state_dict(keep_vars=True).items():
        if id(tensor) not in seen:
            seen.add(id(tensor))
            found[name] = tensor
    return {name: tensor for name, tensor in found.items() if name not in leave_out}


def _write(path: Path, tensors: dict[str, Tensor], about: dict[str, str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(f".{os.getpid()}.partial")
    try:
        save_file(tensors, partial, {**about, "sha256": _digest(tensors, about)})
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _digest(tensors: Mapping[str, Tensor], about: Mapping[str, str]) -> str:
    """Hash names, shapes, types and values: safetensors itself does not notice a value that has changed."""
    found = hashlib.sha256(repr(sorted(about.items())).encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        found.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        found.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()


def _kinds(optimizers: Sequence[torch.optim.Optimizer]) -> str:
    return " and ".join(type(optimizer).__name__ for optimizer in optimizers)


def _mismatch(
    about: Mapping[str, str],
    own: Mapping[str, Tensor],
    theirs: Mapping[str, Tensor],
    model: nn.Module,
    optimizers: Sequence[torch.optim.Optimizer],
) -> str | None:
    """Say why a file cannot be loaded; a model alone can be, whatever optimizers it was trained with."""
    if about["vocab_size"] != str(size := vocab_size(model)):
        return f"was trained with a vocabulary of {about['vocab_size']}, the data has {size}"
    if {n: t.shape for n, t in own.items()} != {n: t.shape for n, t in theirs.items()}:
        return "belongs to another model"
    if optimizers and about["optimizers"] != _kinds(optimizers):
        return f"was trained by {about['optimizers'] or 'no optimizer'}, not by {_kinds(optimizers)}"
    return None


def _restore(optimizer: torch.optim.Optimizer, prefix: str, stored: dict[str, Tensor]) -> None:
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in stored.items():
        if name.startswith(prefix):
            index, _, key = name.removeprefix(prefix).partition(".")
            parameter = parameters[int(index)]
            like_it = tensor.shape == parameter.shape  # others, such as step counts, are not shared out
            state.setdefault(int(index), {})[key] = shared_like(tensor, parameter) if like_it else tensor
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
