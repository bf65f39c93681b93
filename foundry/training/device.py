"""Where a training runs and in what precision. The only place that names a kind of device.

Whatever the device, parameters are first drawn on the CPU and batches are cut there, so a seed means the same
model and the same data everywhere.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch

from foundry.errors import UserError
from foundry.training import low_precision
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


def working_dtype(device: torch.device, dtype: str) -> str:
    """Return what an experiment's dtype means: `auto` is bfloat16 where the processor has units for it.

    Others compute bfloat16 more slowly than float32, or not at all. The kind of machine decides alone, so
    that a training repeats on it.
    """
    if dtype != "auto":
        return dtype
    if device.type == "cuda":
        has_units = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        amx, avx512 = torch.cpu._is_amx_tile_supported, torch.cpu._is_avx512_bf16_supported
        has_units = device.type == "cpu" and (amx() or avx512())
    return "bfloat16" if has_units else "float32"


def seed_generators(device: torch.device, seed: int) -> None:
    """Seed what draws without a generator of its own, such as dropout, on the CPU and on the device."""
    torch.default_generator.manual_seed(seed)
    if device.type != "cpu":
        torch.get_device_module(device).manual_seed(seed)


@contextlib.contextmanager
def precision(device: torch.device, dtype: str) -> Iterator[None]:
    """Run a forward pass with its matrix products in `dtype`; parameters keep theirs."""
    dtype = working_dtype(device, dtype)
    if dtype == "float32":
        yield
        return
    if device.type == "cpu":
        low_precision.register()
    with torch.autocast(device.type, getattr(torch, dtype)):
        yield
