"""Finite: no NaN or Inf at initialisation, in float32 and under bfloat16 autocast."""

from __future__ import annotations

import torch
from torch import Tensor

from foundry.gates.subject import Subject

ORDER = 70


def examine(subject: Subject) -> str | None:
    model, idx = subject.fresh(), subject.tokens(2, subject.block_size)
    for name, value in model.state_dict().items():
        if value.is_floating_point() and not value.isfinite().all():
            return f"{name} starts with {_count(value)}"
    for dtype in (torch.float32, torch.bfloat16):
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
            logits, loss = model(idx, subject.others(idx))
        if not logits.isfinite().all():
            return f"logits hold {_count(logits)} in {str(dtype).removeprefix('torch.')}"
        if not loss.isfinite().all():
            return f"the loss is {loss.item()} in {str(dtype).removeprefix('torch.')}"
    return None


def _count(values: Tensor) -> str:
    nan, inf = int(values.isnan().sum()), int(values.isinf().sum())
    return f"{nan} NaN and {inf} Inf among {values.numel():,} values"
