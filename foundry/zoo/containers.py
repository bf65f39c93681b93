"""Files with named tensors, opened without reading these: safetensors, and what torch saves.

Both are mapped into memory: a tensor is pages of the file until somebody writes to it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from foundry.errors import UserError


class Container(ABC):
    """Named tensors."""

    shapes: Mapping[str, tuple[int, ...]]

    @abstractmethod
    def read(self, name: str) -> Tensor:
        """Return one tensor, to be looked at or copied and then forgotten."""

    def keep(self, name: str, dtype: torch.dtype) -> Tensor:
        """Return one tensor for a model, in a dtype."""
        return self.read(name).to(dtype)


class Safetensors(Container):
    """One file or the shards of one checkpoint."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.metadata: dict[str, str] = {}
        self._paths: dict[str, Path] = {}
        self._open: dict[Path, Any] = {}
        for path in paths:
            try:
                with safe_open(path, framework="pt") as file:
                    self.metadata |= file.metadata() or {}
                    for name in file.keys():  # noqa: SIM118
                        self.shapes[name] = tuple(file.get_slice(name).get_shape())
                        self._paths[name] = path
            except (SafetensorError, OSError) as error:
                raise UserError(f"checkpoint {path} cannot be read: {error}") from None

    def read(self, name: str) -> Tensor:
        """Return one tensor of a mapping of its own, whose pages are gone when the tensor is."""
        with safe_open(self._paths[name], framework="pt") as file:
            tensor: Tensor = file.get_tensor(name)
            return tensor

    def keep(self, name: str, dtype: torch.dtype) -> Tensor:
        """Return one tensor: of the one mapping of the file that lasts, unless it has to be converted."""
        passing = self.read(name)
        if passing.dtype != dtype:
            return passing.to(dtype)
        path = self._paths[name]
        if path not in self._open:
            self._open[path] = safe_open(path, framework="pt")
        tensor: Tensor = self._open[path].get_tensor(name)
        return tensor


class TorchFile(Container):
    """One file that `torch.save` wrote, unpickled by torch's loader that makes tensors and nothing else."""

    def __init__(self, path: Path) -> None:
        try:
            tensors = torch.load(path, map_location="cpu", mmap=True, weights_only=True)
            self._tensors: dict[str, Tensor] = dict(tensors)
            self.shapes = {name: tuple(tensor.shape) for name, tensor in self._tensors.items()}
        except (OSError, RuntimeError, UnpicklingError, AttributeError, ValueError) as error:
            reason = str(error).partition("\n")[0]
            raise UserError(f"checkpoint {path} cannot be read: {reason}") from None

    def read(self, name: str) -> Tensor:
        """Return one tensor."""
        return self._tensors[name]


class Joined(Container):
    """A checkpoint that was cut for several devices: of most tensors each file holds a slice.

    Args:
        parts: the files in order.
        axes: along which axis a tensor is cut, by a part of its name; all others are whole in every file.
    """

    def __init__(self, parts: Sequence[Container], axes: Mapping[str, int]) -> None:
        self._parts = parts
        self._axes = axes
        self.shapes = {name: self._whole(name) for name in parts[0].shapes}

    def read(self, name: str) -> Tensor:
        """Return one tensor, put together."""
        axis = self._axis(name)
        if axis is None:
            return self._parts[0].read(name)
        return torch.cat([part.read(name) for part in self._parts], dim=axis)

    def _whole(self, name: str) -> tuple[int, ...]:
        shape, axis = list(self._parts[0].shapes[name]), self._axis(name)
        if axis is not None:
            shape[axis] = sum(part.shapes[name][axis] for part in self._parts)
        return tuple(shape)

    def _axis(self, name: str) -> int | None:
        return next((axis for leaf, axis in self._axes.items() if f".{leaf}." in f".{name}"), None)
