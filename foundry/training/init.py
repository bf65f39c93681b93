"""Parameters drawn from generators keyed by (seed, name), so that modules an edit left alone start equal.

A model's own initialisation code runs as it stands; what it drew at random is then drawn again, parameter by
parameter, from the parameter's own generator. Works for any in-place random fill, of a tensor or of part of
it, followed by in-place arithmetic, which covers most of torch.nn.init. What is made in other ways
(`torch.randn(n) * 0.1`, `orthogonal_`, `trunc_normal_` where it rejects) keeps its first draw, which depends
on the seed, the shape, and how many draws of that shape came before.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from foundry.keyed import seed_for
from foundry.training import eager

_RESETS = {"zero_", "fill_", "copy_"}


@dataclass(frozen=True)
class _Call:
    """One in-place operation on a view of some memory."""

    func: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    view: tuple[Any, ...]  # size, stride, offset

    def replay(self, tensor: Tensor, generator: torch.Generator) -> None:
        random = {"generator": generator} if _is_random(self.func) else {}
        self.func(tensor.as_strided(*self.view), *self.args, **{**self.kwargs, **random})


@eager.mode
class _Journal(TorchDispatchMode):
    """Key first draws by their shapes; remember for each memory its random fills and the arithmetic after."""

    def __init__(self, seed: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.calls: dict[int, list[_Call]] = {}
        self.kept: list[Tensor] = []  # alive, so that no address is used twice
        self.seed = seed
        self.drawn: Counter[str] = Counter()

    def __torch_dispatch__(
        self,
        func: Any,
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        if _is_random(func):
            shape = args[0].shape if isinstance(args[0], Tensor) else args[0]
            what = f"{func.overloadpacket.__name__} {shape}"
            torch.default_generator.manual_seed(seed_for("first draw", self.seed, what, self.drawn[what]))
            self.drawn[what] += 1
        result = func(*args, **(kwargs or {}))
        if func.overloadpacket.__name__.endswith("_") and args and isinstance(args[0], Tensor):
            self._note(func, args[0], args[1:], kwargs or {})
        return result

    def _note(self, func: Any, tensor: Tensor, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        storage = tensor.untyped_storage()
        address = storage.data_ptr()
        whole = tensor.numel() * tensor.element_size() == storage.nbytes()
        if whole and (_is_random(func) or func.overloadpacket.__name__ in _RESETS):
            self.calls.pop(address, None)  # what was there before is gone
        if _is_random(func):
            self.calls.setdefault(address, [])
            self.kept.append(tensor)
        if address in self.calls:
            view = (tensor.size(), tensor.stride(), tensor.storage_offset())
            self.calls[address].append(_Call(func, args, kwargs, view))


def _is_random(func: Any) -> bool:
    return torch.Tag.nondeterministic_seeded in func.tags


def initialised(build: Callable[[], nn.Module], seed: int) -> nn.Module:
    """Build a model whose random parameters depend on nothing but `seed` and their names and shapes."""
    model, journal = _built(build, seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            generator = torch.Generator().manual_seed(seed_for("init", seed, name))
            for call in journal.calls.get(parameter.untyped_storage().data_ptr(), ()):
                call.replay(parameter, generator)
    return model


def unfilled(build: Callable[[], nn.Module], seed: int) -> nn.Module:
    """Build a model that parameters will be loaded into; all else in it is as `initialised` leaves it."""
    return _built(build, seed)[0]


def _built(build: Callable[[], nn.Module], seed: int) -> tuple[nn.Module, _Journal]:
    torch.manual_seed(seed_for("init", seed))
    journal = _Journal(seed)
    with journal:
        model = build()
    return model, journal
