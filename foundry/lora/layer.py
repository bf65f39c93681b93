"""One adapter: tensors that lie in the linear layer they belong to, and the hook that adds what they say.

The layer itself stays in its place, whatever its class, and its tensors keep their names; those of the
adapter come beside them as `lora_A.weight`, `lora_B.weight` and `lora_magnitude_vector`, as PEFT calls
them. So a state dict is the old one and a few keys more, layers that a model uses several times are adapted
once, and code that looks for an nn.Linear still finds it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from foundry.lora.settings import Lora

A, B = "lora_A", "lora_B"
MAGNITUDE = "lora_magnitude_vector"
_BASE = "lora_base"  # the layer's own weight, while the adapter is merged into it


@dataclass(frozen=True)
class _Addition:
    """What runs after the layer; a merged adapter adds nothing."""

    scale: float
    dropout: float

    def __call__(self, layer: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> Tensor:
        assert isinstance(layer, nn.Linear)
        if is_merged(layer):
            return output
        a, b = matrices(layer)
        x = F.dropout(args[0], self.dropout, layer.training) if self.dropout else args[0]
        added = F.linear(F.linear(x, a), b * self.scale)  # b is much smaller than what it gives
        if MAGNITUDE not in layer._parameters:
            return output + added
        gain = _gain(layer, self.scale).to(output.dtype)
        own = output if layer.bias is None else output - layer.bias
        return output + (gain - 1) * own + gain * added


def attach(layer: nn.Linear, settings: Lora, generator: torch.Generator) -> None:
    """Give a layer an adapter that changes nothing yet: A is random, B is zero (LoRA, section 4.1)."""
    assert not is_adapted(layer)
    weight = layer.weight
    a = torch.empty(settings.rank, layer.in_features)  # drawn on the CPU, whatever the layer's device
    nn.init.kaiming_uniform_(a, a=math.sqrt(5), generator=generator)
    layer.add_module(A, nn.ParameterDict({"weight": a.to(weight)}))
    layer.add_module(B, nn.ParameterDict({"weight": weight.new_zeros(layer.out_features, settings.rank)}))
    if settings.dora:
        layer.register_parameter(MAGNITUDE, nn.Parameter(weight.detach().norm(dim=1)))
    layer.register_forward_hook(_Addition(settings.scale, settings.dropout))


def detach(layer: nn.Linear) -> None:
    """Take the adapter away; what was merged stays in the weight."""
    for key, hook in list(layer._forward_hooks.items()):
        if isinstance(hook, _Addition):
            del layer._forward_hooks[key]
    for name in (A, B, MAGNITUDE, _BASE):
        if hasattr(layer, name):
            delattr(layer, name)


@torch.no_grad()
def merge(layer: nn.Linear) -> None:
    """Put into the weight what the adapter adds, computed in float32; keep the old weight for `unmerge`."""
    assert not is_merged(layer)
    scale = next(hook.scale for hook in layer._forward_hooks.values() if isinstance(hook, _Addition))
    merged = _sum(layer, scale)
    if MAGNITUDE in layer._parameters:
        merged *= _gain(layer, scale)[:, None]
    layer.register_buffer(_BASE, layer.weight.detach().clone(), persistent=False)
    layer.weight.copy_(merged)


@torch.no_grad()
def unmerge(layer: nn.Linear) -> None:
    """Put the weight back, bit for bit."""
    layer.weight.copy_(layer.get_buffer(_BASE))
    delattr(layer, _BASE)


def is_adapted(module: nn.Module) -> bool:
    """Say whether a module is a linear layer with an adapter."""
    return isinstance(module, nn.Linear) and A in module._modules


def is_merged(layer: nn.Linear) -> bool:
    """Say whether the adapter is in the weight just now."""
    return _BASE in layer._buffers


def matrices(layer: nn.Linear) -> tuple[Tensor, Tensor]:
    """Return A, (rank, in), and B, (out, rank)."""
    return layer.get_parameter(f"{A}.weight"), layer.get_parameter(f"{B}.weight")


def adapted_layers(model: nn.Module) -> Iterator[tuple[str, nn.Linear]]:
    """Yield each layer that has an adapter, once, with its path."""
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear) and is_adapted(module):
            yield name, module


def learned(layer: nn.Linear) -> dict[str, nn.Parameter]:
    """Return what the adapter of a layer learns, by the names that PEFT's files have below its path."""
    names = [f"{A}.weight", f"{B}.weight", *(name for name in layer._parameters if name == MAGNITUDE)]
    return {name: layer.get_parameter(name) for name in names}


def _gain(layer: nn.Linear, scale: float) -> Tensor:
    """Return what each row of W + product is multiplied by, (out,): no gradient goes through its length.

    DoRA, section 4.3.
    """
    with torch.no_grad():
        length = _sum(layer, scale).norm(dim=1)
    gain: Tensor = layer.get_parameter(MAGNITUDE).float() / length
    return gain


def _sum(layer: nn.Linear, scale: float) -> Tensor:
    """Return W + product, (out, in), in float32 under autocast too."""
    a, b = matrices(layer)
    with torch.autocast(layer.weight.device.type, enabled=False):
        return layer.weight.float() + scale * (b.float() @ a.float())
