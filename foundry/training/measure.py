"""What a model costs, counted on torch's meta device, where nothing is computed; no clock is read."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.overrides import TorchFunctionMode
from torch.utils.flop_counter import FlopCounterMode


@dataclass(frozen=True)
class Cost:
    """Cost of one architecture at one batch shape."""

    params: int
    flops_per_step: int  # forward and backward of one batch, by torch's FlopCounterMode
    kv_bytes_per_token: int  # float16 keys and values that attention reads; 0 where none passes through SDPA


class _KeysAndValues(TorchFunctionMode):
    """Add up the elements per token of every key and value given to scaled_dot_product_attention."""

    def __init__(self) -> None:
        super().__init__()
        self.elements = 0

    def __torch_function__(
        self,
        func: Any,
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if func is F.scaled_dot_product_attention:
            for position, name in ((1, "key"), (2, "value")):
                tensor = args[position] if len(args) > position else kwargs[name]
                self.elements += tensor.shape[1] * tensor.shape[-1]
        return func(*args, **kwargs)


def cost(build: Callable[[], nn.Module], *, batch_size: int, block_size: int) -> Cost:
    """Count parameters, FLOPs of a training step and cache size of the model that `build` makes.

    A model that reads values, as in `torch.linspace(...).tolist()`, cannot run on the meta device: it is
    counted at work on the CPU.
    """
    try:
        with torch.device("meta"):
            return _count(build, batch_size, block_size)
    except Exception:  # a mistake of the model's own comes again
        return _count(build, batch_size, block_size)


def _count(build: Callable[[], nn.Module], batch_size: int, block_size: int) -> Cost:
    model = build()
    idx = torch.zeros(batch_size, block_size, dtype=torch.long)
    keys_and_values = _KeysAndValues()
    # as plain matrix products: the CPU's fused attention is invisible to the counter
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        with keys_and_values:
            loss = model(idx, idx)[1]
        loss.backward()
    return Cost(
        params=sum(p.numel() for p in model.parameters()),
        flops_per_step=counter.get_total_flops(),
        kv_bytes_per_token=2 * keys_and_values.elements,
    )
