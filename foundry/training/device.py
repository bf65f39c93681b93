"""Where a training runs and in what precision. The only place that names a kind of device.

Whatever the device, parameters are first drawn on the CPU and batches are cut there, so a seed means the same
model and the same data everywhere.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from foundry.errors import UserError
from foundry.training.experiment import Training


def choose(training: Training, local_rank: int = 0) -> torch.device:
    """Find the device that the experiment names; `auto` is cuda, else mps, else the CPU.

    Raises:
        UserError: this machine has no such device, or it does not compute in the dtype of the experiment.
    """
    found = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    kind = training.device
    if kind == "auto":
        kind = next(name for name, there in found.items() if there)
    if not found[kind]:
        have = " and ".join(name for name, there in found.items() if there)
        raise UserError(f"training.device is {kind}, but torch finds only {have} here")
    if kind != "cuda":
        return torch.device(kind)
    if local_rank >= torch.cuda.device_count():
        raise UserError(
            f"{local_rank + 1} processes on this machine need a GPU each; it has {torch.cuda.device_count()}"
        )
    if training.dtype == "bfloat16" and not torch.cuda.is_bf16_supported():
        raise UserError("training.dtype is bfloat16, which this GPU does not compute in")
    return torch.device(kind, local_rank)


def seed_generators(device: torch.device, seed: int) -> None:
    """Seed what draws without a generator of its own, such as dropout, on the CPU and on the device."""
    torch.default_generator.manual_seed(seed)
    if device.type != "cpu":
        torch.get_device_module(device).manual_seed(seed)


@contextlib.contextmanager
def precision(device: torch.device, dtype: str) -> Iterator[None]:
    """Run a forward pass with its matrix products in `dtype`; parameters keep theirs."""
    if dtype == "float32":
        yield
        return
    with torch.autocast(device.type, getattr(torch, dtype)), attention(device, dtype):
        yield


def attention(device: torch.device, dtype: str) -> AbstractContextManager[object]:
    """Keep fused attention in float32 where low precision makes it slower: on the CPU.

    The backward pass of scaled_dot_product_attention takes 7 times as long in bfloat16 as in float32 there.
    """
    if device.type == "cpu" and dtype != "float32":
        return _AttentionInFloat32()
    return contextlib.nullcontext()


class _AttentionInFloat32(TorchFunctionMode):
    """Give scaled_dot_product_attention float32, which autocast would take from it."""

    def __torch_function__(
        self,
        func: Any,
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if func is not F.scaled_dot_product_attention:
            return func(*args, **kwargs)
        with torch.autocast("cpu", enabled=False):
            return func(*map(_float32, args), **{name: _float32(value) for name, value in kwargs.items()})


def _float32(value: Any) -> Any:
    return value.float() if isinstance(value, Tensor) and value.is_floating_point() else value
