"""A model by torch.compile, after asking whether this machine can compile at all."""

from __future__ import annotations

import torch
from torch import nn

from foundry.errors import UserError


def compiled(model: nn.Module, device: torch.device) -> nn.Module:
    """Return the model as torch.compile runs it; it shares its parameters with the one given.

    Raises:
        UserError: nothing can be compiled here, mostly for want of a C++ compiler.
    """
    try:
        torch.compile(torch.sin)(torch.zeros(2, device=device))
    except Exception as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise UserError(f"training.compile: torch.compile does not work here: {reason}") from None
    fast = torch.compile(model)
    assert isinstance(fast, nn.Module)
    return fast
