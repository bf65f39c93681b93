"""The repeated blocks of a model, whatever its source calls them, and computing them twice to save memory."""

from __future__ import annotations

import functools

from torch import nn
from torch.utils.checkpoint import checkpoint

from foundry.errors import UserError


def blocks(model: nn.Module) -> list[nn.Module]:
    """List each module once of the nn.ModuleList with the most parameters; none where there is no list.

    Not of the longest: a block of experts may have more of them than the model has blocks.
    """
    lists = [m for m in model.modules() if isinstance(m, nn.ModuleList)]
    largest = max(lists, key=lambda found: sum(p.numel() for p in found.parameters()), default=())
    return list(dict.fromkeys(largest))


def recompute(model: nn.Module) -> None:
    """Keep only the inputs of each block for the backward pass, which computes the rest again.

    The losses stay the same bit for bit, with dropout too: its generators are put back for the second time.
    Chen et al., "Training Deep Nets with Sublinear Memory Cost" (2016).

    Raises:
        UserError: the model has no nn.ModuleList.
    """
    found = blocks(model)
    if not found:
        raise UserError(
            "training.gradient_checkpointing needs a model that keeps its blocks in an nn.ModuleList"
        )
    for block in found:
        block.forward = functools.partial(checkpoint, block.forward, use_reentrant=False)
