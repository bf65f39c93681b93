"""Classes of torch as they are without torch.compile.

torch wraps what its compiler must not trace, and the first call of a wrapped function imports the compiler:
72 MiB and more than a second, for trainings that compile nothing. What was wrapped is found as for any
decorator, and is all that these classes do when nothing is being compiled.
"""

from __future__ import annotations

import inspect
from typing import TypeVar

import torch
from torch.utils._python_dispatch import TorchDispatchMode

Kind = TypeVar("Kind", bound=type[torch.optim.Optimizer])
Mode = TypeVar("Mode", bound=type[TorchDispatchMode])

_WRAPPED = ("add_param_group", "zero_grad", "state_dict", "load_state_dict")


def optimizer(kind: Kind) -> Kind:
    """Return a kind of optimizer of the same name that does the same; not for `differentiable` ones."""
    plain = {name: inspect.unwrap(getattr(kind, name)) for name in _WRAPPED}
    plain["step"] = torch.no_grad()(inspect.unwrap(kind.step))
    return type(kind.__name__, (kind,), plain)  # type: ignore[return-value]


def mode(kind: Mode) -> Mode:
    """Take the wrapping off a mode of ours, in place."""
    kind.__torch_dispatch__ = inspect.unwrap(kind.__torch_dispatch__)  # type: ignore[method-assign]
    return kind
