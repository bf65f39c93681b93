"""Linear maps, products of matrices and attention: where new positions meet all of them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from foundry.decoding.entries import Role
from foundry.decoding.tail import Call, NotCoveredError, Tail, rule, tail

# how the axis of time moves: an embedding adds a last dimension, complex numbers take one
_SHIFTS = {"linear": 0, "embedding": -1, "one_hot": -1, "view_as_complex": 1, "view_as_real": -1}


@rule(*_SHIFTS)
def last_dimension(call: Call) -> Tail:
    x = call.first()
    shift = _SHIFTS[call.name]
    if x.axis == -1 and shift >= 0:
        raise NotCoveredError
    return tail(call.func(*call.args, **call.kwargs), x.axis + shift, x.during)


@rule("layer_norm", "rms_norm")
def norm(call: Call) -> Tail:
    x = call.first()
    if len(call.argument(1, "normalized_shape")) >= -x.axis:
        raise NotCoveredError
    return tail(call.func(*call.args, **call.kwargs), x.axis, x.during)


@rule("matmul", "bmm", "mm", "rmatmul", "imatmul")
def matmul(call: Call) -> Tail:
    """Rows of the left and columns of the right may be the newest; what is summed over is whole."""
    a, b = (call.args[1], call.args[0]) if call.name == "rmatmul" else call.args
    if a.dim() < 2 or b.dim() < 2 or call.in_place:
        raise NotCoveredError
    axes = [x.axis for x, summed in ((a, -1), (b, -2)) if isinstance(x, Tail) and x.axis != summed]
    if not axes:
        raise NotCoveredError
    axis = min(axes)
    left = call.whole(a, _role(a, -1)) if axis == -1 else call.newest(a, axis)
    right = call.whole(b, _role(b, -2)) if axis == -2 else call.newest(b, axis)
    return tail(torch.matmul(left, right), axis, call.during)


def _role(x: Any, summed: int) -> Role:
    """Tell what a product adds up over time, as it does with values, from what it compares."""
    return Role.VALUE if isinstance(x, Tail) and x.axis == summed else Role.KEY


@rule("einsum")
def einsum(call: Call) -> Tail:
    """One letter stands for the newest positions: the first of the result's that a Tail has for time."""
    equation, *operands = call.args
    if not isinstance(equation, str) or "." in equation or "->" not in equation:
        raise NotCoveredError
    if len(operands) == 1 and isinstance(operands[0], (list, tuple)):
        operands = list(operands[0])
    inputs, result = equation.replace(" ", "").split("->")
    terms = inputs.split(",")
    letters = {term[x.axis] for term, x in zip(terms, operands, strict=True) if isinstance(x, Tail)}
    letter = next((letter for letter in result if letter in letters), None)
    if letter is None or any(term.count(letter) > 1 for term in terms):
        raise NotCoveredError
    roles = [
        Role.KEY if isinstance(x, Tail) and term[x.axis] in result else Role.VALUE
        for term, x in zip(terms, operands, strict=True)
    ]
    cut = [
        call.newest(x, term.index(letter) - len(term)) if letter in term else call.whole(x, role)
        for term, x, role in zip(terms, operands, roles, strict=True)
    ]
    return tail(torch.einsum(equation, *cut), result.index(letter) - len(result), call.during)


@rule("scaled_dot_product_attention")
def attention(call: Call) -> Tail:
    q = call.argument(0, "query")
    if not isinstance(q, Tail) or q.axis != -2:
        raise NotCoveredError
    during, mask = q.during, call.argument(3, "attn_mask")
    k, v = call.argument(1, "key"), call.argument(2, "value")
    cached = all(isinstance(x, Tail) and x.axis == -2 for x in (k, v))
    window = during.cache.window(mask) if cached else None
    k, v = call.whole(k, Role.KEY, window), call.whole(v, Role.VALUE, window)
    mask = call.newest(mask, -2)
    if window is not None and mask is not None and mask.size(-1) == during.total:
        mask = mask.narrow(-1, during.total - k.size(-2), k.size(-2))
    causal = call.argument(5, "is_causal", False)
    if causal and during.old:  # is_causal would align the newest queries with the oldest keys
        causal = False
        if during.new > 1 or k.size(-2) != during.total:
            gone = 0 if window is None else during.total - k.size(-2)
            mask = _causal(during.new, k.size(-2), during.old - gone, q.device)
    options: dict[str, Any] = {
        name: call.kwargs[name] for name in ("scale", "enable_gqa") if name in call.kwargs
    }
    dropout = call.argument(4, "dropout_p", 0.0)
    y = F.scaled_dot_product_attention(q, k, v, mask, dropout, causal, **options)
    return tail(y, -2, during)


def _causal(new: int, keys: int, old: int, device: torch.device) -> Tensor:
    """Let the query at position old + i see the keys up to there; (new, keys)."""
    return torch.ones(new, keys, dtype=torch.bool, device=device).tril(old)
