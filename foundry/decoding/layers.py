"""Layers of foundry/modules that decode better than operation by operation.

Most of a source is followed one operation at a time. What attends to a part of the past by cutting it into
chunks would then be computed in full, for all that chunks show is tensors of other shapes. So a layer whose
`forward` is that of a reference module, to the last instruction, is run in the form that suits newest
positions; a layer that an operator has rewritten is not. A multi-head latent attention keeps its latent: the
projection to it gives out all positions, from which the source makes keys and values as ever.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from types import CodeType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from foundry.decoding.entries import Role
from foundry.decoding.tail import Tail, tail
from foundry.modules.alibi import ALiBi
from foundry.modules.block_sparse import BlockSparseAttention
from foundry.modules.latent_attention import LatentKeyValue
from foundry.modules.moe import MoE
from foundry.modules.relative_bias import RelativeBias
from foundry.modules.sliding_window import SlidingWindowAttention
from foundry.modules.strided import StridedAttention

Forward = Callable[..., Any]
Seen = Callable[[Tensor, Tensor], Tensor]  # of positions of queries (new, 1) and of keys (1, n)


def replacements(model: nn.Module) -> list[tuple[nn.Module, Forward]]:
    """List layers with the function to call in place of their `forward`."""
    found: list[tuple[nn.Module, Forward]] = []
    for layer in model.modules():
        if _is(layer, SlidingWindowAttention):
            found.append((layer, _sliding(layer)))
        elif _is(layer, BlockSparseAttention):
            found.append((layer, _sparse(layer, _in_blocks(layer))))
        elif _is(layer, StridedAttention):
            found.append((layer, _sparse(layer, _in_strides(layer))))
        elif _is(layer, LatentKeyValue):
            down: Any = layer.down
            found.append((down, _given_out(down.forward)))
        elif _is(layer, MoE):
            found.append((layer, _token_by_token(layer.forward)))
        elif _is(layer, ALiBi):
            found.append((layer, _biased(layer, lambda layer, distance: -layer.slopes * distance)))
        elif _is(layer, RelativeBias):
            found.append(
                (layer, _biased(layer, lambda layer, distance: layer.table[..., distance.clamp(min=0)]))
            )
    return found


@contextlib.contextmanager
def replaced(found: list[tuple[nn.Module, Forward]]) -> Iterator[None]:
    """Call these functions in place of the layers' own `forward`."""
    for layer, forward in found:
        layer.__dict__["forward"] = forward
    try:
        yield
    finally:
        for layer, _ in found:
            del layer.__dict__["forward"]


def _is(layer: nn.Module, kind: type[nn.Module]) -> bool:
    mine, theirs = type(layer).forward, kind.forward
    same_defaults = mine.__defaults__ == theirs.__defaults__
    return same_defaults and _same_code(mine.__code__, theirs.__code__)


def _same_code(a: CodeType, b: CodeType) -> bool:
    """Compare instructions, names and constants; where they stand in a file does not matter."""
    parts = ("co_code", "co_names", "co_varnames", "co_freevars", "co_cellvars")
    if any(getattr(a, part) != getattr(b, part) for part in parts) or len(a.co_consts) != len(b.co_consts):
        return False
    return all(
        _same_code(x, y)
        if isinstance(x, CodeType) and isinstance(y, CodeType)
        else type(x) is type(y) and x == y
        for x, y in zip(a.co_consts, b.co_consts, strict=True)
        if not (isinstance(x, str) and isinstance(y, str))  # names of functions within functions
    )


def _sliding(layer: Any) -> Forward:
    own = layer.forward

    def forward(q: Tensor, k: Tensor, v: Tensor, dropout_p: float = 0.0, scale: float | None = None) -> Any:
        window = layer.window
        if window is None or not _newest(q, k, v):
            return own(q, k, v, dropout_p, scale)
        return _attend(q, k, v, lambda i, j: i - j < window, window, scale)

    return forward


def _sparse(layer: Any, seen: Seen) -> Forward:
    own = layer.forward

    def forward(q: Tensor, k: Tensor, v: Tensor, dropout_p: float = 0.0, scale: float | None = None) -> Any:
        if not _newest(q, k, v):
            return own(q, k, v, dropout_p, scale)
        return _attend(q, k, v, seen, None, scale)

    return forward


def _in_blocks(layer: Any) -> Seen:
    return lambda i, j: (i // layer.block - j // layer.block <= 1) | (j < layer.block)


def _in_strides(layer: Any) -> Seen:
    return lambda i, j: (i - j < layer.stride) | ((i - j) % layer.stride == 0)


def _newest(q: Tensor, k: Tensor, v: Tensor) -> bool:
    """Tell whether queries are the newest, and keys and values too or already whole."""
    others = all(not isinstance(x, Tail) or x.axis == -2 for x in (k, v))
    return isinstance(q, Tail) and q.axis == -2 and others


def _attend(q: Any, k: Tensor, v: Tensor, seen: Seen, window: int | None, scale: float | None) -> Tail:
    """Attend from the newest positions to those before them that `seen` allows."""
    during = q.during
    with torch._C.DisableTorchFunctionSubclass():
        k, v = (
            during.cache.extend(x, -2, role, window) if isinstance(x, Tail) else x
            for x, role in ((k, Role.KEY), (v, Role.VALUE))
        )
        i = torch.arange(during.old, during.total, device=q.device)[:, None]
        n = during.total if window is None else min(during.total, during.new + window - 1)
        k, v = (x.narrow(-2, x.size(-2) - n, n) for x in (k, v))
        j = torch.arange(during.total - n, during.total, device=q.device)
        mask = None if during.new == 1 and n == window else seen(i, j) & (j <= i)
        y = F.scaled_dot_product_attention(
            q, k, v, attn_mask=mask, scale=scale, enable_gqa=k.size(1) < q.size(1)
        )
    return tail(y, -2, during)


def _given_out(own: Forward) -> Forward:
    def forward(x: Tensor) -> Tensor:
        y = own(x)
        if not isinstance(y, Tail) or y.axis != -2:
            return y  # type: ignore[no-any-return]
        with torch._C.DisableTorchFunctionSubclass():
            return y.during.cache.extend(y, -2, Role.VALUE)

    return forward


def _token_by_token(own: Forward) -> Forward:
    """Run a layer in which what becomes of one token depends on no other, on the newest alone."""

    def forward(x: Tensor) -> Tensor:
        if not isinstance(x, Tail) or x.axis != -2:
            return own(x)  # type: ignore[no-any-return]
        during = x.during
        return tail(own(x.as_subclass(Tensor)), -2, during)

    return forward


def _biased(layer: Any, bias: Callable[[Any, Tensor], Tensor]) -> Forward:
    """Make the rows of the newest queries alone; `bias` is of a layer and of distances."""
    own = layer.forward

    def forward(x: Tensor) -> Tensor:
        if not isinstance(x, Tail) or x.axis != -2:
            return own(x)  # type: ignore[no-any-return]
        during = x.during
        distance = layer.distance[during.old : during.total, : during.total]
        made = bias(layer, distance).masked_fill(distance < 0, -torch.inf).to(x.dtype)
        return tail(made, -2, during)

    return forward
