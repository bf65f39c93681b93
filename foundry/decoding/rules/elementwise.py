"""Operations on single numbers, broadcast; and questions about a tensor that do not concern its numbers."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from foundry.decoding.tail import Call, NotCoveredError, Tail, UnsupportedError, full_shape, rule, tail

_ARITHMETIC = """
    add sub rsub mul rmul radd div rdiv truediv rtruediv true_divide divide floordiv rfloordiv
    floor_divide remainder fmod mod pow rpow float_power neg negative positive abs absolute square
    sqrt rsqrt reciprocal iadd isub imul idiv itruediv ifloordiv imod ipow exp exp2 expm1 log log1p
    log2 log10 sin cos tan sinh cosh tanh asin acos atan atan2 sinc erf erfc sigmoid logit sign sgn
    floor ceil round trunc frac clamp clip clamp_min clamp_max maximum minimum fmax fmin where
    masked_fill lerp addcmul addcdiv nan_to_num eq ne lt le gt ge isnan isinf isfinite logical_and
    logical_or logical_not logical_xor and or xor invert iand ior ixor bitwise_and bitwise_or
    bitwise_not bitwise_xor
"""
_ACTIVATIONS = """
    relu relu6 gelu silu mish elu selu celu leaky_relu hardtanh hardswish hardsigmoid hardshrink
    softplus softsign softshrink tanhshrink threshold logsigmoid dropout alpha_dropout
"""
_COPIES = """
    float double half bfloat16 long int bool type to type_as clone detach data contiguous zero fill
    zeros_like ones_like full_like empty_like
"""
_QUESTIONS = """
    dtype device dim ndim ndimension layout is_cuda is_cpu is_meta is_nested is_sparse is_quantized
    is_floating_point is_complex requires_grad get_device element_size itemsize is_inference
    new_zeros new_ones new_empty new_full new_tensor
"""


@rule(*(_ARITHMETIC + _ACTIVATIONS + _COPIES).split())
def elementwise(call: Call) -> Any:
    if call.name in ("to", "type_as") and not isinstance(call.args[0], Tail):
        return call.func(*call.args, **call.kwargs)  # asks the Tail for its dtype alone
    axis = min(x.axis for x in call.tails)
    if call.in_place:
        _writable(call.args[0], axis)
    result = call.run_with(lambda x: call.newest(x, axis))
    if isinstance(result, tuple):  # where(condition) lists positions
        raise NotCoveredError
    return tail(result, axis, call.during) if isinstance(result, Tensor) else result


def _writable(target: Any, axis: int) -> None:
    if not isinstance(target, Tail):
        raise NotCoveredError
    if target.axis != axis:
        raise UnsupportedError("its source writes to activations over two axes of time")


@rule(*_QUESTIONS.split())
def question(call: Call) -> Any:
    return call.func(*call.args, **call.kwargs)


@rule("shape", "size")
def shape(call: Call) -> Any:
    sizes, dim = torch.Size(full_shape(call.first())), call.argument(1, "dim")
    return sizes if dim is None else sizes[dim]


@rule("len")
def length(call: Call) -> int:
    return full_shape(call.first())[0]


@rule("numel", "nelement")
def count(call: Call) -> int:
    return torch.Size(full_shape(call.first())).numel()
