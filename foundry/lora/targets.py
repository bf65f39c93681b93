"""Which layers of a model an adapter goes to, and which matrices no adapter can reach."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from foundry.errors import UserError, unknown
from foundry.lora.settings import ALL_LINEAR, Lora
from foundry.training.vocabulary import vocab_size

# What models call the layers that make queries and values, alone or with keys: the usual targets.
QUERY_AND_VALUE = (
    *("q_proj", "v_proj", "c_attn", "qkv", "qkv_proj", "query_key_value", "Wqkv", "c_q", "c_v"),
    *("wq", "wv", "query", "value", "to_q", "to_v", "q", "v"),
)


@dataclass(frozen=True)
class Targets:
    """Layers to adapt by path, and matrices that stay as they are with the reason."""

    layers: dict[str, nn.Linear]
    left: dict[str, str]


def find(model: nn.Module, settings: Lora) -> Targets:
    """Choose the layers that an experiment names.

    A model may read a layer's weight without calling the layer; an adapter there would go unheard. So the
    model is run once, on two tokens, to see which.

    Raises:
        UserError: nothing has such a name, or one of the layers shares its weight with another module.
    """
    linear = {name: module for name, module in model.named_modules() if isinstance(module, nn.Linear)}
    chosen = _chosen(linear, settings, model)
    _require_untied(model, {name: linear[name] for name in chosen})
    silent = _read_directly(model, linear.values()) & set(chosen)
    left = _raw(model) | dict.fromkeys(sorted(silent), "its layer is never called")
    layers = {name: linear[name] for name in chosen if name not in silent}
    if not layers:
        raise UserError(f"lora: {chosen[0]} cannot be adapted: the model reads its weight without calling it")
    return Targets(layers, left)


def _require_untied(model: nn.Module, chosen: dict[str, nn.Linear]) -> None:
    owners: dict[int, list[str]] = {}
    for name, module in model.named_modules():
        for parameter in module._parameters.values():
            owners.setdefault(id(parameter), []).append(name)
    for name, layer in chosen.items():
        for other in owners[id(layer.weight)]:
            if other != name:
                embeds = isinstance(model.get_submodule(other), nn.Embedding)
                raise UserError(
                    f"lora: {name} shares its weight with {other}, and merging would change both: "
                    + ("untie them by `foundry mutate tie_embeddings untie`, or " if embeds else "")
                    + "leave it out of the targets"
                )


def _chosen(linear: dict[str, nn.Linear], settings: Lora, model: nn.Module) -> list[str]:
    if settings.pattern is not None:
        chosen = [name for name in linear if re.fullmatch(settings.pattern, name)]
        if not chosen:
            raise UserError(f"lora.pattern {settings.pattern!r} matches no linear layer of this model")
        return chosen
    if settings.targets and settings.targets != (ALL_LINEAR,):
        for target in settings.targets:
            if not any(_named(name, target) for name in linear):
                raise unknown("layer in lora.targets", target, {n.rpartition(".")[2] for n in linear})
        return [name for name in linear if any(_named(name, target) for target in settings.targets)]
    usual = [name for name in linear if any(_named(name, target) for target in QUERY_AND_VALUE)]
    if usual and not settings.targets:
        return usual
    head = _head(linear, model)
    chosen = [name for name in linear if name != head]
    if not chosen:
        raise UserError("lora: this model has no linear layer besides its head")
    return chosen


def _named(path: str, target: str) -> bool:
    return path == target or path.endswith(f".{target}")


def _head(linear: dict[str, nn.Linear], model: nn.Module) -> str | None:
    """Name the layer that predicts tokens: the last as wide as the vocabulary."""
    size = vocab_size(model)
    return next((name for name in reversed(linear) if linear[name].out_features == size), None)


def _raw(model: nn.Module) -> dict[str, str]:
    """Find matrices that belong to no layer which torch knows, such as experts kept in one tensor."""
    found = {}
    for name, module in model.named_modules():
        if not isinstance(module, nn.Linear | nn.Embedding | nn.modules.conv._ConvNd):
            for key, parameter in module._parameters.items():
                if parameter is not None and parameter.dim() >= 2:
                    found[f"{name}.{key}".lstrip(".")] = "no linear layer holds it"
    return found


def _read_directly(model: nn.Module, layers: Iterable[nn.Linear]) -> set[str]:
    """Name the linear layers whose weight some function is given while the layer itself does not run."""
    names = {id(module): name for name, module in model.named_modules()}
    weights = {id(layer.weight): layer for layer in layers}
    watch = _Watch(set(weights))
    handles = [layer.register_forward_pre_hook(watch.enter) for layer in weights.values()]
    handles += [layer.register_forward_hook(watch.leave) for layer in weights.values()]
    tokens = torch.zeros(1, 2, dtype=torch.long, device=next(model.parameters()).device)
    was_training = model.training
    model.eval()
    with torch.no_grad(), watch:
        model(tokens, tokens)
    model.train(was_training)
    for handle in handles:
        handle.remove()
    return {names[id(weights[weight])] for weight in watch.read}


class _Watch(TorchFunctionMode):
    """Note which of these tensors are given to a function outside of the layer that holds them."""

    def __init__(self, tensors: set[int]) -> None:
        super().__init__()
        self.tensors = tensors
        self.inside: list[int] = []
        self.read: set[int] = set()

    def enter(self, layer: nn.Module, args: Any) -> None:
        self.inside.append(id(layer.weight))

    def leave(self, layer: nn.Module, args: Any, output: Any) -> None:
        self.inside.pop()

    def __torch_function__(
        self,
        func: Any,
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        given = {id(value) for value in (*args, *(kwargs or {}).values())} & self.tensors
        self.read |= given - set(self.inside)
        return func(*args, **(kwargs or {}))
