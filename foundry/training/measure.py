"""What a model costs, counted on torch's meta device, where nothing is computed; no clock is read."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

from foundry.decoding import rounded
from foundry.decoding.kinds import EXACT
from foundry.gates.unfilled import Unfilled
from foundry.lora.adapt import adapt
from foundry.lora.settings import Lora
from foundry.training import eager, loop, ramp
from foundry.training.experiment import Training


@dataclass(frozen=True)
class Cost:
    """Cost of one architecture trained in one way."""

    params: int
    flops_per_step: int  # matrix products of one update, the optimizer's included, by torch's formulas
    kv_bytes_per_token: int  # of a full block: what decoding keeps (foundry/decoding/rounded.py)
    tokens_per_step: int  # that one update sees
    work_per_step: int  # nanoseconds that one update is priced at

    def per_step(self, unit: str) -> int:
        """Return what one update takes of "tokens", "flops" or "work"."""
        return {"tokens": self.tokens_per_step, "flops": self.flops_per_step, "work": self.work_per_step}[
            unit
        ]

    def updates(self, amount: int, unit: str) -> int:
        """Return how many updates an amount pays for, at least one."""
        return max(1, amount // self.per_step(unit))


@eager.mode
class _Work(TorchDispatchMode):
    """Price every operation: its products, the bytes that it writes, and that it is one at all.

    The prices are those of one core of a CPU with AVX-512 in float32, fixed so that the same training costs
    the same on every machine. Views are free. FLOPs are what torch's FlopCounterMode counts, which is a mode
    of its own.
    """

    PER_FLOP = 1 / 120  # nanoseconds
    PER_BYTE = 1 / 8
    PER_OPERATION = 4_000

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.flops = 0
        self.nanoseconds = 0.0  # without products

    def __torch_dispatch__(
        self,
        func: Any,
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        if formula := flop_registry.get(func.overloadpacket):
            self.flops += formula(*args, **(kwargs or {}), out_val=result)
        if not func.is_view:
            written = [r for r in tree_leaves(result) if isinstance(r, torch.Tensor)]
            self.nanoseconds += self.PER_OPERATION
            self.nanoseconds += self.PER_BYTE * sum(t.numel() * t.element_size() for t in written)
        return result


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


def cost(
    build: Callable[[], nn.Module],
    *,
    training: Training,
    block_size: int,
    lora: Lora | None = None,
    kv_cache: str = EXACT,
) -> Cost:
    """Count parameters, FLOPs of an update and cache size of the model that `build` makes.

    Where adapters train, an update is theirs; parameters are those of the model that they are merged into. A
    model that reads values, as in `torch.linspace(...).tolist()`, cannot run on the meta device: it is
    counted at work on the CPU.
    """
    try:
        return _count(build, training, block_size, lora, kv_cache, torch.device("meta"))
    except Exception:  # a mistake of the model's own comes again
        return _count(build, training, block_size, lora, kv_cache, torch.device("cpu"))


def _count(
    build: Callable[[], nn.Module],
    training: Training,
    block_size: int,
    lora: Lora | None,
    kv_cache: str,
    device: torch.device,
) -> Cost:
    keys_and_values, work = _KeysAndValues(), _Work()
    with device, Unfilled() if device.type == "meta" else contextlib.nullcontext():
        model = build()
    params = sum(p.numel() for p in model.parameters())
    kept = _kept(model, block_size, kv_cache)
    if lora is not None:
        adapt(model, lora, 0)
    with device:
        idx = torch.zeros(training.batch_size, block_size, dtype=torch.long)
        # as plain matrix products: the CPU's fused attention is invisible to the counter
        with sdpa_kernel(SDPBackend.MATH), work:
            with keys_and_values:
                loss = model(idx, idx)[1]
            loss.backward()
    batch_flops = work.flops * training.gradient_accumulation_steps
    batch_work = work.nanoseconds * training.gradient_accumulation_steps
    optimizer_flops, optimizer_work = _of_optimizers(model, training)
    updates = ramp.mean_updates(training)
    optimizer_flops, optimizer_work = round(optimizer_flops * updates), optimizer_work * updates
    flops = batch_flops + optimizer_flops
    return Cost(
        params=params,
        flops_per_step=flops,
        work_per_step=round(batch_work + optimizer_work + flops * work.PER_FLOP),
        kv_bytes_per_token=4 * keys_and_values.elements if kept is None else kept,
        tokens_per_step=training.batch_size * training.gradient_accumulation_steps * block_size,
    )


def _kept(model: nn.Module, block_size: int, kv_cache: str) -> int | None:
    """Return bytes of cache per token; None where no cache can follow the source."""
    was_training = model.training
    model.eval()
    try:
        return rounded.bytes_per_token(model, block_size, kv_cache)
    except Exception:  # of whatever kind: a source does with plain tensors what it cannot do here
        return None
    finally:
        model.train(was_training)


def _of_optimizers(model: nn.Module, training: Training) -> tuple[int, float]:
    """Return FLOPs and work of one step; AdamW's is priced as fused, of which the meta device has none."""
    flops, nanoseconds = 0, 0.0
    for optimizer in loop.build_optimizers(model, training):
        groups = optimizer.param_groups
        if all(group.get("fused") for group in groups):  # element by element: no products
            held = sum(p.numel() * p.element_size() for group in groups for p in group["params"])
            nanoseconds += len(groups) * _Work.PER_OPERATION + 3 * held * _Work.PER_BYTE
        else:
            with _Work() as work:
                optimizer.step()
            flops, nanoseconds = flops + work.flops, nanoseconds + work.nanoseconds
    return flops, nanoseconds
