"""Each operation on the newest positions gives the newest positions of the operation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from foundry.decoding.cache import Cache
from foundry.decoding.decoder import CachedDecoder  # noqa: F401  (fills the table of rules)
from foundry.decoding.tail import Pass, Tail, tail

B, T, C = 2, 11, 6
TABLE = torch.linspace(-1, 1, T * C).view(T, C)
SQUARE = torch.linspace(-1, 1, T * T).view(T, T)

# of x (B, T, C), time being the second axis; positions that came before are not needed, and nothing is kept
BY_THEMSELVES: dict[str, Callable[[Tensor], Any]] = {
    "table of positions": lambda x: x + TABLE[: x.size(1)],
    "plain on the left": lambda x: 2 - TABLE[: x.shape[1]] * x,
    "comparison": lambda x: (x > 0) & (TABLE[: x.size(1)] > 0),
    "where": lambda x: torch.where(x > 0, x, TABLE[: x.size(1)]),
    "dtype and back": lambda x: x.double().to(torch.float32).type_as(TABLE) + TABLE.to(x)[: x.size(1)],
    "heads": lambda x: x.view(x.size(0), x.size(1), 3, 2).transpose(1, 2),
    "heads and back": lambda x: x.reshape(*x.shape[:2], 3, -1).permute(0, 2, 1, 3).transpose(1, 2).flatten(2),
    "time last": lambda x: x.mT.unsqueeze(1).squeeze(),
    "time first": lambda x: x.movedim(1, 0)[..., None],
    "expand": lambda x: x[:, None].expand(-1, 3, x.size(1), C).reshape(B * 3, -1, C),
    "repeat": lambda x: x.repeat(1, 1, 2).repeat_interleave(2, dim=0),
    "unflatten": lambda x: x.unflatten(-1, (2, 3)).view_as(x),
    "split": lambda x: torch.cat(x.split([2, 4], dim=2)[::-1], dim=-1),
    "chunk and stack": lambda x: torch.stack(x.chunk(2, -1), dim=1),
    "stack on the right": lambda x: torch.stack((x, TABLE[: x.size(1)].expand_as(x)), -2),
    "unbind": lambda x: x.unbind(-1)[2],
    "mean kept": lambda x: x - x.mean(-1, keepdim=True),
    "mean dropped": lambda x: x.mean(-1),
    "sum over rows": lambda x: x.sum((0, 2)),
    "largest": lambda x: x.max(dim=-1).values,
    "top": lambda x: torch.topk(x, 2)[0],
    "norms": lambda x: F.layer_norm(x, (C,)) + F.rms_norm(x, (x.size(-1),)) + F.normalize(x, dim=-1),
    "pad channels": lambda x: F.pad(x, (1, 2)),
    "cut": lambda x: x[..., 1:5:2][:, : x.size(1), None],
    "last": lambda x: x[:, -1],
    "last, kept": lambda x: x[:, [-1], :],
    "linear": lambda x: F.linear(x, TABLE[:4]),
    "times a matrix": lambda x: x @ TABLE[:4].T,
    "one matrix, many columns": lambda x: TABLE[:4] @ x.mT,
    "in place": lambda x: (x.clone().mul_(2)).add_(TABLE[: x.size(1)]),
    "sizes": lambda x: torch.tensor([x.numel(), len(x), x.dim(), *x.shape, *x.mT.size()]),
}
# what was before is needed, for the newest alone
WITH_THE_PAST: dict[str, Callable[[Tensor], Any]] = {
    "two axes of time": lambda x: x[:, :, 0].unsqueeze(2) - x[:, :, 1].unsqueeze(1),
    "running sum": lambda x: x.cumsum(dim=1),
    "shift": lambda x: F.pad(x, (0, 0, 2, -2)),
    "scores": lambda x: x @ x.transpose(-2, -1) + SQUARE[: x.size(1), : x.size(1)],
    "two products": lambda x: x @ x.mT @ x,
    "einsum": lambda x: torch.einsum("bqd,bkd,bke->bqe", x, x, x),
    "attention": lambda x: F.scaled_dot_product_attention(x, x, x, is_causal=True, scale=0.3),
    "attention with a mask": lambda x: F.scaled_dot_product_attention(
        x, x, x, attn_mask=SQUARE[: x.size(1), : x.size(1)]
    ),
    "causal convolution": lambda x: F.conv1d(F.pad(x.mT, (2, 0)), torch.ones(C, 1, 3), groups=C).mT,
}
# all positions are computed again
IN_FULL: dict[str, Callable[[Tensor], Any]] = {
    "all but the last": lambda x: x[:, :-1],
    "the last, counted from the start": lambda x: x[:, x.size(1) - 1],
    "every second": lambda x: x[:, ::2],
    "joined in time": lambda x: torch.cat((torch.zeros(B, 1, C), x), dim=1),
    "reversed": lambda x: x.flip(1),
    "mean over time": lambda x: x.mean(1),
    "everything": lambda x: x.sum(),
    "flattened": lambda x: x.reshape(-1, C),
    "places": lambda x: torch.where(x > 0)[1],
    "written into a plain tensor": lambda x: torch.zeros(B, x.size(1), C).add_(x),
    "strided convolution": lambda x: F.conv1d(F.pad(x.mT, (2, 0)), torch.ones(C, 1, 3), stride=2, groups=C),
    "as_strided": lambda x: torch.as_strided(x.contiguous(), (2, 2), (1, 2)),
}


@dataclass
class Last:
    """The last of two passes: f of the newest positions, after f of those before them; and f of all."""

    result: Any
    full: Any
    kept: int  # bytes
    operations: int  # on floats, in products
    operations_in_full: int

    def comparable(self, new: int) -> tuple[Any, Any]:
        """Return the result, and as much of the full one as it should be."""
        if not isinstance(self.result, Tail):
            return self.result, self.full
        assert self.full.size(self.result.axis) == T
        return plain(self.result), self.full.narrow(self.result.axis, T - new, new)


def both(f: Callable[[Tensor], Any], *, new: int) -> Last:
    x = torch.randn(B, T, C, generator=torch.Generator().manual_seed(0))
    cache, old = Cache(), T - new
    cache.begin(old, old)
    f(tail(x[:, :old].clone(), -2, Pass(old, old, cache)))
    cache.begin(T, new)
    with sdpa_kernel(SDPBackend.MATH):  # the other is invisible to the counter
        with FlopCounterMode(display=False) as counted:
            result = f(tail(x[:, old:].clone(), -2, Pass(T, new, cache)))
        with FlopCounterMode(display=False) as counted_in_full:
            full = f(x.clone())
    return Last(result, full, cache.nbytes, counted.get_total_flops(), counted_in_full.get_total_flops())


@pytest.mark.parametrize("new", [1, 3])
@pytest.mark.parametrize("name", BY_THEMSELVES)
def test_the_newest_positions_are_computed_by_themselves(name: str, new: int) -> None:
    last = both(BY_THEMSELVES[name], new=new)
    assert last.kept == 0
    assert last.operations * T == last.operations_in_full * new
    torch.testing.assert_close(*last.comparable(new))


@pytest.mark.parametrize("new", [1, 3])
@pytest.mark.parametrize("name", WITH_THE_PAST)
def test_the_newest_positions_meet_all_of_them(name: str, new: int) -> None:
    last = both(WITH_THE_PAST[name], new=new)
    assert isinstance(last.result, Tail)
    assert last.kept > 0
    assert last.operations * T == last.operations_in_full * new
    torch.testing.assert_close(*last.comparable(new))


@pytest.mark.parametrize("name", IN_FULL)
def test_everything_else_is_computed_in_full(name: str) -> None:
    last = both(IN_FULL[name], new=2)
    assert not isinstance(last.result, Tail)
    assert last.kept > 0
    assert last.operations >= last.operations_in_full  # more where it is tried otherwise first
    torch.testing.assert_close(*last.comparable(2))


def plain(x: Tail) -> Tensor:
    with torch._C.DisableTorchFunctionSubclass():
        return x.as_subclass(Tensor)


def test_the_cache_does_not_mind_what_becomes_of_what_it_gives() -> None:
    def wild(x: Tensor) -> Tensor:
        before = x[:, :-1]
        before *= 0
        return x + 0 * before.sum()

    last = both(wild, new=2)
    x = torch.randn(B, T, C, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(plain(last.result), x[:, -2:])
