"""Parameters drawn from generators keyed by (seed, name), so that modules an edit left alone start equal.

A model's own initialisation code runs as it stands; what it drew at random is then drawn again, parameter by
parameter, from the parameter's own generator. Works for any in-place random fill followed by in-place
arithmetic, which covers torch.nn.init but for `orthogonal_` and `sparse_`: those keep the first draw.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from foundry.keyed import seed_for

_Call = tuple[Any, tuple[Any, ...], dict[str, Any]]
_RANDOM_FILLS = {"normal_", "uniform_", "bernoulli_", "exponential_", "log_normal_", "cauchy_", "geometric_"}
_RESETS = {"zero_", "fill_", "copy_"}


class _Journal(TorchDispatchMode):
    """Remember for each tensor its last random fill and the in-place arithmetic after it."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: dict[int, list[_Call]] = {}
        self.kept: list[Tensor] = []  # alive, so that no address is used twice

    def __torch_dispatch__(
        self,
        func: Any,
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__
        if name.endswith("_") and args and isinstance(args[0], Tensor):
            self._note(name, args[0], (func, args[1:], kwargs or {}))
        return result

    def _note(self, name: str, tensor: Tensor, call: _Call) -> None:
        address = tensor.data_ptr()
        if name in _RANDOM_FILLS:
            self.calls[address] = [call]
            self.kept.append(tensor)
        elif name in _RESETS:
            self.calls.pop(address, None)
        elif address in self.calls:
            self.calls[address].append(call)


def initialised(build: Callable[[], nn.Module], seed: int) -> nn.Module:
    """Build a model whose random parameters depend on nothing but `seed` and their names and shapes."""
    torch.manual_seed(seed_for("init", seed))
    journal = _Journal()
    with journal:
        model = build()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            generator = torch.Generator().manual_seed(seed_for("init", seed, name))
            for func, args, kwargs in journal.calls.get(parameter.data_ptr(), ()):
                drawn = func.overloadpacket.__name__ in _RANDOM_FILLS
                func(parameter, *args, **({**kwargs, "generator": generator} if drawn else kwargs))
    return model
