"""Activation memory: what a real training step keeps for its backward pass is bounded."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from foundry.gates.subject import Subject
from foundry.gates.unfilled import Unfilled
from foundry.source import build_config, build_model

ORDER = 60
_SMALL = 2e8  # parameters x tokens up to which running one row is cheaper than the meta device's bookkeeping
_SHORT = 1024  # tokens up to which one row cannot do harm, even with attention spelled out


def examine(subject: Subject) -> str | None:
    length = int(build_config(subject.module, subject.model_args).block_size)
    parameters = sum(parameter.numel() for parameter in subject.skeleton.parameters())
    if parameters * length <= _SMALL and length <= _SHORT:
        kept = _of_one_row(subject, length) * subject.batch_size
    else:
        try:
            with torch.device("meta"), _FusedAttention():
                kept = _kept(subject.skeleton, subject.batch_size, length)
        except Exception:  # the meta device cannot route tokens to experts, nor branch on a value
            kept = _of_one_row(subject, length) * subject.batch_size
    if kept <= subject.max_activation_bytes:
        return None
    return (
        f"a batch of {subject.batch_size} x {length} tokens keeps {kept:,} bytes of activations, "
        f"more than the limit of {subject.max_activation_bytes:,}"
    )


def _of_one_row(subject: Subject, length: int) -> int:
    """Count on the CPU, where every model runs."""
    with Unfilled():
        model = build_model(subject.module, subject.model_args)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    return _kept(model, 1, length)


def _kept(model: nn.Module, rows: int, length: int) -> int:
    """Count the bytes that autograd keeps in one forward pass, parameters and buffers aside."""
    own = [*model.parameters(), *model.buffers()]
    known = {tensor.untyped_storage()._cdata for tensor in own}
    kept: dict[int, int] = {}  # the graph holds each storage until we are done, so no address is used twice

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in known:
            kept[storage._cdata] = storage.nbytes()
        return tensor

    idx = torch.zeros(rows, length, dtype=torch.long)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        graph = model.train()(idx, idx)
    del graph  # and not before
    return sum(kept.values())


class _FusedAttention(TorchFunctionMode):
    """Let attention on the meta device keep what the fused kernels keep, where it would spell out T x T."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func is F.scaled_dot_product_attention and len(args) >= 3:
            return _Attention.apply(*args[:3])  # type: ignore[no-untyped-call]
        return func(*args, **(kwargs or {}))


class _Attention(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        answer = query.new_empty(*query.shape[:-1], value.size(-1))
        ctx.save_for_backward(query, key, value, answer)
        return answer
