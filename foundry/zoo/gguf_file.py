"""A GGUF file, by the package `gguf`: tensors dequantised one at a time, and what it says of its model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from foundry.errors import UserError
from foundry.zoo.containers import Container

_SETTINGS = {  # keys below the name of the architecture
    "n_head": "attention.head_count",
    "n_kv_head": "attention.head_count_kv",
    "norm_eps": "attention.layer_norm_rms_epsilon",
    "rope_theta": "rope.freq_base",
}


class GgufFile(Container):
    """One file; its tensors come out in float32."""

    def __init__(self, path: Path) -> None:
        try:
            import gguf
        except ImportError:
            raise UserError(f"{path} needs the package gguf: pip install -e '.[gguf]'") from None
        try:
            self._reader = gguf.GGUFReader(path)
        except (OSError, ValueError, IndexError, KeyError) as error:
            raise UserError(f"checkpoint {path} cannot be read: {error}") from None
        self._dequantize = gguf.dequantize
        self._tensors = {tensor.name: tensor for tensor in self._reader.tensors}
        self.shapes = {
            name: tuple(int(size) for size in reversed(tensor.shape))
            for name, tensor in self._tensors.items()
        }
        self.architecture = str(self._value("general.architecture"))

    def read(self, name: str) -> Tensor:
        """Return one tensor."""
        tensor = self._tensors[name]
        return torch.from_numpy(self._dequantize(tensor.data, tensor.tensor_type).copy())

    @property
    def settings(self) -> Mapping[str, object]:
        """Arguments of the seed model that the file gives and no tensor shows."""
        found = {ours: self._value(f"{self.architecture}.{key}") for ours, key in _SETTINGS.items()}
        return {name: value for name, value in found.items() if value is not None}

    @property
    def head_dim(self) -> int:
        """Width of a head."""
        width = self._value(f"{self.architecture}.embedding_length")
        heads = self._value(f"{self.architecture}.attention.head_count")
        assert isinstance(width, int)
        assert isinstance(heads, int)
        return width // heads

    def _value(self, key: str) -> object:
        field = self._reader.get_field(key)
        return field.contents() if field is not None else None
