"""Weights of a parent for its child: every tensor that fits by name and shape; the others stay as drawn."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import nn


@torch.no_grad()
def take_over(folder: Path, model: nn.Module) -> int:
    """Copy from the first checkpoint in `folder` what fits into `model`; return the number of elements.

    The first, because whether there is a second depends on who was faster. A parent without a checkpoint, or
    with one that cannot be read, hands nothing on.
    """
    paths = sorted(folder.glob("*.safetensors"), key=lambda path: int(path.stem))
    if not paths:
        return 0
    own = dict(model.named_parameters()) | dict(model.named_buffers())
    taken = 0
    try:
        with safe_open(paths[0], framework="pt") as file:
            for name in sorted(set(file.keys()) & {f"model.{mine}" for mine in own}):
                target, theirs = own[name.removeprefix("model.")], file.get_tensor(name)
                if theirs.shape == target.shape:
                    target.copy_(theirs)
                    taken += theirs.numel()
    except (OSError, SafetensorError):
        return taken
    return taken
