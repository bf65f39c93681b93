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

from foundry.training import loop
from foundry.training.experiment import Training


@dataclass(frozen=True)
class Cost:
    """Cost of one architecture trained in one way."""

    params: int
    flops_per_step: int  # matrix products of one update, the optimizer's included, by torch's FlopCounterMode
    kv_bytes_per_token: int  # float16 keys and values that attention reads; 0 where none passes through SDPA
    tokens_per_step: int  # that one update sees

    def updates(self, amount: int, unit: str) -> int:
        """Return how many updates an amount of "tokens" or "flops" pays for, at least one."""
        return max(1, amount // (self.flops_per_step if unit == "flops" else self.tokens_per_step))


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


def cost(build: Callable[[], nn.Module], *, training: Training, block_size: int) -> Cost:
    """Count parameters, FLOPs of an update and cache size of the model that `build` makes.

    A model that reads values, as in `torch.linspace(...).tolist()`, cannot run on the meta device: it is
    counted at work on the CPU.
    """
    try:
        return _count(build, training, block_size, torch.device("meta"))
    except Exception:  # a mistake of the model's own comes again
        return _count(build, training, block_size, torch.device("cpu"))


def _count(build: Callable[[], nn.Module], training: Training, block_size: int, device: torch.device) -> Cost:
    keys_and_values = _KeysAndValues()
    with device:
        model = build()
        idx = torch.zeros(training.batch_size, block_size, dtype=torch.long)
        # as plain matrix products: the CPU's fused attention is invisible to the counter
        with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
            with keys_and_values:
                loss = model(idx, idx)[1]
            loss.backward()
    batch_flops = counter.get_total_flops() * training.gradient_accumulation_steps
    return Cost(
        params=sum(p.numel() for p in model.parameters()),
        flops_per_step=batch_flops + _optimizer_flops(model, training),
        kv_bytes_per_token=2 * keys_and_values.elements,
        tokens_per_step=training.batch_size * training.gradient_accumulation_steps * block_size,
    )


def _optimizer_flops(model: nn.Module, training: Training) -> int:
    with FlopCounterMode(display=False) as counter:
        for optimizer in loop.build_optimizers(model, training):
            for group in optimizer.param_groups:
                group["fused"] = False  # which there is none of on the meta device
            optimizer.step()
    return int(counter.get_total_flops())
